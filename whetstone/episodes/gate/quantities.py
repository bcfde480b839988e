"""Numbers and dates in a text, in digits or in words, so that a summary's can be held against the transcript's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from whetstone.episodes.lexicon import STOP, carries, stem
from whetstone.episodes.normal import tokens


def _list(text: str) -> list[str]:
    return text.split()


_UNITS = _list(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen"""
)
_TENS = _list("twenty thirty forty fifty sixty seventy eighty ninety")
_ORDINALS = _list(
    """zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
    fifteenth sixteenth seventeenth eighteenth nineteenth"""
)
_TENTHS = {ten.removesuffix("y") + "ieth": 10 * (i + 2) for i, ten in enumerate(_TENS)}
_RANKS = {word: value for value, word in enumerate(_ORDINALS) if value} | _TENTHS | {"last": -1}
# words that rank, and that are often said without ranking anything
_LOOSE = frozenset({"first", "second", "last"})
_SMALL = {word: value for value, word in enumerate(_UNITS)} | {word: 10 * (i + 2) for i, word in enumerate(_TENS)}
_SCALES = {
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
    "k": 10**3, "m": 10**6, "mn": 10**6, "bn": 10**9, "b": 10**9, "tn": 10**12,
}  # fmt: skip
_SCALES |= {word + "s": scale for word, scale in list(_SCALES.items()) if len(word) > 2 and word not in {"dozen"}} | {
    "dozens": 12
}
_PARTS = {"half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4} | {
    word + ending: value for value, word in enumerate(_ORDINALS) if value > 3 for ending in ("", "s")
}
_TIMES = {"twice": 2, "thrice": 3, "double": 2, "doubled": 2, "doubles": 2, "doubling": 2, "triple": 3, "tripled": 3,
          "triples": 3, "tripling": 3, "halve": 2, "halved": 2, "halves": 2, "halving": 2}  # fmt: skip
_MONTHS = _list("january february march april may june july august september october november december")
_DAYS = _list("monday tuesday wednesday thursday friday saturday sunday")
_SHORT = {name[:3]: name for name in [*_MONTHS, *_DAYS]} | {"sept": "september", "tues": "tuesday", "thurs": "thursday"}
# what a number is of: the same unit in all its spellings
_SPELLINGS = """
    percent pct | second seconds sec secs s | minute minutes min mins | hour hours hr hrs h | day days
    week weeks | month months | year years yr yrs | decade decades | century centuries | metre metres meter meters
    kilometre kilometres kilometer kilometers km kms | centimetre centimetres centimeter centimeters cm
    millimetre millimetres millimeter millimeters mm | mile miles | foot feet ft | inch inches | yard yards
    acre acres | hectare hectares | gram grams gramme grammes g | kilogram kilograms kilo kilos kg kgs
    tonne tonnes | ton tons | pound pounds lb lbs quid £ | ounce ounces oz | litre litres liter liters
    gallon gallons | watt watts w | kilowatt kilowatts kw | megawatt megawatts mw | gigawatt gigawatts gw
    volt volts | degree degrees ° | celsius | fahrenheit | dollar dollars usd buck bucks $ | euro euros eur €
    cent cents | pence penny pennies p | am | pm | byte bytes | kilobyte kilobytes kb | megabyte megabytes mb
    gigabyte gigabytes gb | terabyte terabytes tb | calorie calories | hertz hz
"""
_UNIT = {
    spelling: group.split()[0]
    for group in re.split(r"[|\n]", _SPELLINGS)
    if group.strip()
    for spelling in group.split()
}
# tokens after a number that may say what it counts
_NEAR = 3
# words that bound the number after them: it is no less, or no more
_BOUNDS = {
    "at least": "≥", "no less than": "≥", "more than": ">", "greater than": ">", "over": ">?", "above": ">?",
    "at most": "≤", "up to": "≤", "no more than": "≤", "less than": "<", "fewer than": "<", "under": "<?",
    "below": "<?",
}  # fmt: skip
# words of grammar that are counted all the same
_COUNTED = frozenset(
    {"people", "person", "persons", "time", "times", "way", "ways", "place", "places", "part", "parts"}
)
_SINGLE = frozenset({"a", "an", "single", "each", "every", "this", "that"})
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
_ATTACHED = re.compile(r"(\d+(?:[.,]\d+)*)([a-z°]+)")
_DECADE = re.compile(r"'?(\d{2}|\d{4})'?s")


@dataclass(frozen=True)
class Quantity:
    """A number that a text names.

    `unit`: the first spelling of its unit, "" for none that is known. `kind`: "number", "ordinal", "date" (of a month),
    "part" (a third), "times" (doubled), "decade", "clock" (4:30, its value in minutes) or "code" (B12, 007: no value).
    `of`: the stems of the words of content right after it. `rate`: the unit after "per". `bound`: "≥" after "at least",
    "<" after "less than"; with "?" where the word may mean something else ("over"). `loose`: "one", "first", "second"
    and "last" (-1), which are often only words.
    """

    value: Fraction
    unit: str
    kind: str
    text: str
    of: tuple[str, ...] = ()
    rate: str = ""
    bound: str = ""
    loose: bool = False

    @property
    def year(self) -> bool:
        """Whether it looks like one."""
        return self.kind == "number" and not self.unit and re.fullmatch(r"1[5-9]\d{2}|20\d{2}", self.text) is not None


def is_number(token: str) -> bool:
    """Whether a token in normal form is, or contains, a number. "one" is not: it is mostly a pronoun."""
    return any(c.isdigit() for c in token) or (
        token != "one"
        and token not in _LOOSE
        and (token in _SMALL or token in _RANKS or (token in _SCALES and len(token) > 2))
    )


def is_unit(token: str) -> bool:
    """Whether a token in normal form is a unit's name."""
    return token in _UNIT


def units(text: str) -> set[str]:
    """The units that a text has words for, by their first spellings."""
    return {_UNIT[token] for token in tokens(text) if token in _UNIT}


def one_unit(text: str) -> list[str]:
    """The units that a text has one of, or counts by: "a week", "every hour", by their first spellings."""
    line = tokens(text)
    return [_UNIT[token] for before, token in pairwise(line) if before in {"a", "an", "every"} and token in _UNIT]


def single(text: str) -> set[str]:
    """The stems of what a text has one of: "a turbine", "every turbine"."""
    line = tokens(text)
    return {stem(token) for before, token in pairwise(line) if before in _SINGLE and carries(token)}


def date_words(text: str) -> set[str]:
    """The months and days of the week in a text, in full. "may" and "march" only where they are capitalised inside a
    sentence, for they are verbs too."""
    found = set()
    for index, word in enumerate(text.split()):
        for token in tokens(word)[:1]:
            token = token.removesuffix("'s")
            name = _SHORT.get(token, token)
            if token in {"may", "march", "mar", "sun", "sat", "mon", "wed", "second", "sec"} and not (
                index and word[:1].isupper()
            ):
                continue
            if name in _MONTHS or name in _DAYS or name.removesuffix("s") in _DAYS:
                found.add(name.removesuffix("s") if name.endswith("days") else name)
    return found


def quantities(text: str) -> list[Quantity]:
    """The numbers in a text. "one" alone, "first" and "second" are `loose`; "one of them" and "a second" are none."""
    return [quantity for quantity, _, _ in _all(text)]


def placed(text: str) -> list[tuple[Quantity, int, int]]:
    """`quantities` without the loose, each with the token that it begins with and the one after its last."""
    return [found for found in _all(text) if not found[0].loose]


def _all(text: str) -> list[tuple[Quantity, int, int]]:
    found = []
    line = tokens(text)
    at = 0
    while at < len(line):
        quantity, end = _read(line, at)
        if quantity:
            found.append((quantity, at, end))
        at = max(end, at + 1)
    return found


def _read(line: Sequence[str], at: int) -> tuple[Quantity | None, int]:
    """The quantity that begins at token `at`, and where it ends."""
    token = line[at]
    if token in _TIMES and token != "halves":
        return Quantity(Fraction(_TIMES[token]), "", "times", token), at + 1
    if (match := _DECADE.fullmatch(token)) and int(match[1]) % 10 == 0:
        return Quantity(Fraction(int(match[1]) % 100), "", "decade", token), at + 1
    if re.fullmatch(r"\d{1,2}:\d{2}", token):
        hours, minutes = token.split(":")
        return Quantity(Fraction(60 * int(hours) + int(minutes)), _unit(line, at + 1), "clock", token), at + 1
    if token in {"a", "an", "one"} and at + 1 < len(line) and line[at + 1] in _PARTS:
        return _part(line, Fraction(1), at + 1)
    if token == "half":
        return _part(line, Fraction(1), at)
    if (rank := _rank(line, at)) is not None:
        value, end = rank
        loose = token in _LOOSE
        if token == "second" and at and (line[at - 1] in {"per", "a", "each", "every"} or is_number(line[at - 1])):
            return None, end
        kind = "date" if _dated(line, at, end) else "ordinal"
        return Quantity(value, "", kind, " ".join(line[at:end]), _counted(line, end), loose=loose), end
    number, end = _value(line, at)
    if number is None:
        code = any(c.isdigit() for c in token)
        return (Quantity(Fraction(0), "", "code", token) if code else None), at + 1
    if end < len(line) and line[end] in _PARTS and number < 20 and line[end] not in {"half", "second"}:
        return _part(line, number, end)
    return _number(line, at, end, number), end


def _number(line: Sequence[str], at: int, end: int, value: Fraction) -> Quantity | None:
    """The cardinal in tokens `at` to `end`, with what stands around it; None for "one" that counts nothing."""
    sign = -1 if at and line[at - 1] in {"−", "minus"} else 1
    before = _UNIT.get(line[at - 1], "") if at and line[at - 1] in "$€£" else ""
    unit = before or _unit(line, end)
    attached = _ATTACHED.fullmatch(line[end - 1])
    if attached and attached[2] in _UNIT and attached[2] not in _SCALES:
        unit = _UNIT[attached[2]]
    of = _counted(line, end)
    bound = _bound(line, at)
    loose = line[at] == "one" and end == at + 1 and not (unit or bound or line[at - 1 : at] == ("only",))
    if loose and not (end < len(line) and _countable(line[end])):
        return None
    kind = "date" if not unit and 0 < value <= 31 and _dated(line, at, end) else "number"
    return Quantity(
        sign * value, unit, kind, " ".join(line[at:end]), of, _rate(line, end), bound, loose
    )  # fmt: skip


def _rank(line: Sequence[str], at: int) -> tuple[Fraction, int] | None:
    """An ordinal from token `at` on: 14th, fourteenth, twenty-first."""
    if match := _ORDINAL.fullmatch(line[at]):
        return Fraction(int(match[1])), at + 1
    if line[at] in _RANKS:
        return Fraction(_RANKS[line[at]]), at + 1
    if line[at] in _TENS and at + 1 < len(line) and 0 < _RANKS.get(line[at + 1], 0) < 10:
        return Fraction(_SMALL[line[at]] + _RANKS[line[at + 1]]), at + 2
    return None


def _unit(line: Sequence[str], at: int) -> str:
    if at + 1 < len(line) and line[at] in {"a", "p"} and line[at + 1] == "m":  # "a.m."
        return f"{line[at]}m"
    return _UNIT.get(line[at], "") if at < len(line) else ""


def _counted(line: Sequence[str], at: int) -> tuple[str, ...]:
    return tuple(stem(t) for t in line[at : at + _NEAR] if _countable(t) and not is_number(t))


def _countable(token: str) -> bool:
    return carries(token) or token in _COUNTED


def _dated(line: Sequence[str], at: int, end: int) -> bool:
    """Whether tokens `at` to `end` stand beside a month: "February 14", "the 14th of February"."""
    after = end + 1 if end < len(line) and line[end] == "of" else end
    near = [line[at - 1]] if at else []
    near += [line[after]] if after < len(line) else []
    return any(_SHORT.get(token, token) in _MONTHS for token in near)


def _rate(line: Sequence[str], at: int) -> str:
    """What a number is per: "metres per second", "four times a day"; "" for nothing."""
    for place in range(at, min(at + _NEAR, len(line) - 1)):
        if line[place] == "per":
            return _UNIT.get(line[place + 1], stem(line[place + 1]))
        if line[place] in {"a", "an", "each", "every"} and line[place + 1] in _UNIT:
            return _UNIT[line[place + 1]]
        if line[place] in STOP and line[place] not in _UNIT and line[place] != "times":
            break
    return ""


def _bound(line: Sequence[str], at: int) -> str:
    before = (" ".join(line[at - count : at]) for count in (3, 2, 1) if count <= at)
    return next((_BOUNDS[words] for words in before if words in _BOUNDS), "")


def _part(line: Sequence[str], count: Fraction, at: int) -> tuple[Quantity, int]:
    return Quantity(count / _PARTS[line[at]], "", "part", line[at]), at + 1


def _value(line: Sequence[str], at: int) -> tuple[Fraction | None, int]:
    """A cardinal from token `at` on: 4.2 million, two hundred and ten, twenty-five, 1/3."""
    token = line[at]
    number = _digits(token)
    if number is not None:
        end = at + 1
        if end + 1 < len(line) and line[end] == "⁄" and (below := _digits(line[end + 1])):
            number, end = number / below, end + 2
        elif end + 2 < len(line) and line[end + 1] == "⁄" and number.denominator == 1:
            above, below = _digits(line[end]), _digits(line[end + 2])
            if above and below:
                number, end = number + above / below, end + 3
        while end < len(line) and line[end] in _SCALES and (len(line[end]) > 2 or line[end] in {"bn", "mn", "tn"}):
            number, end = number * _SCALES[line[end]], end + 1
        return number, end
    if token in {"a", "an"} and at + 1 < len(line) and line[at + 1] in _SCALES and len(line[at + 1]) > 2:
        return Fraction(_SCALES[line[at + 1]]), at + 2
    if token not in _SMALL:
        return (Fraction(_SCALES[token]), at + 1) if token in _SCALES and len(token) > 2 else (None, at)
    return _spoken(line, at)


def _spoken(line: Sequence[str], at: int) -> tuple[Fraction, int]:
    """A cardinal in words."""
    total, group, end, last = 0, 0, at, 0
    while end < len(line):
        token = line[end]
        if token in _SMALL:
            value = _SMALL[token]
            # "twenty five" is one number, "five six" and "twenty twelve" are two
            if end > at and last in _SMALL.values() and not (last >= 20 and 0 < value < 10):
                break
            group, last = group + value, value
        elif token in _SCALES and len(token) > 2 and end > at:
            scale = _SCALES[token]
            last = scale
            if scale == 100 or scale == 12:
                group = max(group, 1) * scale
            else:
                total, group = total + max(group, 1) * scale, 0
        elif token == "and" and last >= 100 and end + 1 < len(line) and line[end + 1] in _SMALL:
            pass
        else:
            break
        end += 1
    return Fraction(total + group), end


def _digits(token: str) -> Fraction | None:
    """A token of digits, with a point, or with a scale or a unit attached (3.6m, 40kg)."""
    attached = _ATTACHED.fullmatch(token)
    number, tail = (attached[1], attached[2]) if attached else (token, "")
    if (tail and tail not in _SCALES and tail not in _UNIT) or re.match(r"0\d", number):
        return None
    try:
        value = Fraction(number)
    except (ValueError, ZeroDivisionError):
        return None
    return value * _SCALES.get(tail, 1) if len(tail) <= 2 else value
