"""Attacks on the quote gate and on summary lines: changes that a liar or a careless model could make, and how to tell
what was said.

Written apart from `mutations.py`: the truth is looked up in the letters of each turn, not in lists of words, and every
kind changes something that a reader would call false. Changes of dress alone (`dresses`) must not matter.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import groupby

from whetstone.episodes.transcript import Transcript

_NEGATORS = ["not", "never", "no", "hardly", "without", "nobody", "nothing", "none", "cannot"]
_SYNONYMS = {
    "perfect": "flawless", "water": "liquid", "turbine": "windmill", "first": "initial", "slowly": "gradually",
    "lovely": "beautiful", "expensive": "costly", "cheaper": "pricier", "people": "folk", "sand": "grit",
    "protest": "riot", "afraid": "scared", "map": "chart", "believe": "know", "think": "know", "wind": "solar",
    "always": "often", "after": "before", "north": "south", "rare": "common", "old": "new", "up": "down",
    "friend": "enemy", "trust": "doubt", "safe": "dangerous", "engineer": "designer", "years": "decades",
}  # fmt: skip
_COUNTS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "fifteen",
           "eighteen", "forty", "hundred", "half", "fifth"]  # fmt: skip
_ORDINALS = ["first", "second", "third", "fourth", "fifth", "last"]
_UNITS = ["metres", "metre", "feet", "miles", "pounds", "dollars", "euros", "pence", "cents", "tonnes", "kilos",
          "weeks", "days", "months", "years", "minutes", "hours", "second", "minute", "megawatts", "gigawatts",
          "degrees", "percent", "homes", "turbines"]  # fmt: skip
_DATES = ["January", "February", "March", "October", "Tuesday", "Sunday", "Wednesday"]
# letters of other alphabets that look like these
_LOOK = {"a": "а", "e": "е", "o": "о", "p": "р", "c": "с", "x": "х", "i": "і", "y": "у", "A": "Α", "T": "Τ", "n": "ո"}
_MARKS_ON = "\u0301\u0308\u0336\u0338\u0323\u034f\ufe0f\u20e0"

_SILENT = r"[^\w·$£€']|_"

Words = list[str]
Change = Callable[[Words, random.Random], Words | None]


def letters(text: str) -> str:
    """What is heard of a text: letters, digits, apostrophes inside words, the point of a number, and signs of money."""
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'").replace("%", " percent ")
    text = re.sub(r"(?<=\d),(?=\d\d\d)", "", text)
    text = re.sub(r"(?<=\d)\.(?=\d)", "·", text)
    text = re.sub(r"(?<![^\W_])'|'(?![^\W_])", " ", text)
    return f" {' '.join(re.sub(_SILENT, ' ', text).split())} "


def turns(transcript: Transcript) -> list[tuple[str, list[str]]]:
    """Who speaks, and their words, one turn after the other."""
    return [
        (speaker, [word.text for word in group])
        for speaker, group in groupby(transcript.words, key=lambda word: word.speaker)
    ]


class Truth:
    """What was said in a transcript, by the letters of each turn."""

    def __init__(self, transcript: Transcript) -> None:
        self._turns = [(who, letters(" ".join(words))) for who, words in turns(transcript)]

    def said(self, text: str, speaker: str = "") -> bool:
        """Whether one turn (of that speaker) has these very letters, whole words only."""
        sought = letters(text)
        return any(sought in there for who, there in self._turns if speaker in ("", who))


def lies(transcript: Transcript, seed: int, count: int) -> Iterator[tuple[str, str, str]]:
    """(kind, words, speaker) of `count` quotes that nobody said so, every kind in turn as far as it can be made."""
    draw, truth = random.Random(seed), Truth(transcript)
    long = [(who, words) for who, words in turns(transcript) if len(words) >= 9]
    kinds = [*_CHANGES, *_SPLICES, "wrong speaker"]
    made = 0
    while made < count:
        kind = kinds[made % len(kinds)]
        for _ in range(200):
            who, words = draw.choice(long)
            size = draw.randint(8, min(30, len(words)))
            at = draw.randrange(len(words) - size + 1)
            span = words[at : at + size]
            speaker = ""
            if kind == "wrong speaker":
                others = sorted({other for other, _ in long if other != who})
                speaker = draw.choice([draw.choice(others), draw.choice(others).split()[0]]) if others else ""
                speaker = "" if speaker in who else speaker
                changed: Words | None = span if others else None
            elif kind in _SPLICES:
                changed = _SPLICES[kind](transcript, draw)
            else:
                changed = _CHANGES[kind](list(span), draw)
            text = " ".join(changed or ())
            full = next((other for other, _ in long if speaker and speaker in other), "")
            if changed and len(changed) >= 6 and not truth.said(text, full):
                yield kind, text, speaker
                break
        made += 1


def dresses(transcript: Transcript, seed: int, count: int) -> Iterator[tuple[str, str]]:
    """(words as they could be written, words as the transcript has them) of `count` true quotes."""
    draw = random.Random(seed)
    long = [words for _, words in turns(transcript) if len(words) >= 6]
    for _ in range(count):
        words = draw.choice(long)
        size = draw.randint(6, min(40, len(words)))
        at = draw.randrange(len(words) - size + 1)
        span = words[at : at + size]
        yield draw.choice(_DRESSES)(" ".join(span), draw), " ".join(span)


def _replaced(words: Words, draw: random.Random, change: Callable[[str], str | None]) -> Words | None:
    places = [(at, new) for at, word in enumerate(words) if (new := change(word)) is not None]
    if not places:
        return None
    at, new = draw.choice(places)
    return [*words[:at], new, *words[at + 1 :]]


def _other_of(listed: list[str]) -> Change:
    def change(words: Words, draw: random.Random) -> Words | None:
        def other(word: str) -> str | None:
            core = word.strip(".,?!;:")
            known = core in listed or core.lower() in listed
            if not known:
                return None
            new = draw.choice([each for each in listed if each.lower() != core.lower() and each not in " ".join(words)])
            return word.replace(core, new)

        return _replaced(words, draw, other)

    return change


def _synonym(words: Words, draw: random.Random) -> Words | None:
    return _replaced(words, draw, lambda w: _SYNONYMS.get(w.strip(".,?!").lower()))


def _negation_out(words: Words, draw: random.Random) -> Words | None:
    places = [at for at, word in enumerate(words) if word.lower().strip(".,?!") in _NEGATORS or "n't" in word]
    places = [at for at in places if "n't" in words[at] or 0 < at < len(words) - 1]
    if not places:
        return None
    at = draw.choice(places)
    if "n't" in words[at]:
        return [*words[:at], words[at].replace("n't", ""), *words[at + 1 :]]
    return words[:at] + words[at + 1 :]


def _negation_in(words: Words, draw: random.Random) -> Words | None:
    if draw.random() < 0.3:
        verbs = {"is", "are", "was", "did", "do", "does", "would", "could", "should", "has", "have", "had", "were"}
        return _replaced(words, draw, lambda w: w + "n't" if w in verbs else None)
    at = draw.randrange(1, len(words))
    return [*words[:at], draw.choice(_NEGATORS), *words[at:]]


def _spelled_out(words: Words, draw: random.Random) -> Words | None:
    """ "don't" and "do not" are not the same words: who quotes must choose the ones that were said."""
    return _replaced(words, draw, lambda w: w.replace("n't", " not") if "n't" in w else None)


def _digits(words: Words, draw: random.Random) -> Words | None:
    def other(word: str) -> str | None:
        places = [at for at, c in enumerate(word) if c.isdigit()]
        if not places:
            return None
        at = draw.choice(places)
        new = str((int(word[at]) + draw.randint(1, 9)) % 10)
        return draw.choice([
            word[:at] + new + word[at + 1 :],
            word[:at] + new + word[at:],
            word.replace(".", "", 1) if re.search(r"\d\.\d", word) else word[:at] + "." + word[at:] if at else None,
            word.replace("%", ""), "£" + word, word + "th", "−" + word, word.replace(word[at], "²", 1),
        ])  # fmt: skip

    return _replaced(words, draw, other)


def _lookalike(words: Words, draw: random.Random) -> Words | None:
    def other(word: str) -> str | None:
        places = [at for at, c in enumerate(word) if c in _LOOK]
        if not places:
            return None
        at = draw.choice(places)
        return word[:at] + _LOOK[word[at]] + word[at + 1 :]

    return _replaced(words, draw, other)


def _marked(words: Words, draw: random.Random) -> Words | None:
    def other(word: str) -> str | None:
        places = [at for at, c in enumerate(word) if c.isalpha()]
        return None if not places else word[: places[-1] + 1] + draw.choice(_MARKS_ON) + word[places[-1] + 1 :]

    return _replaced(words, draw, other)


def _misspelt(words: Words, draw: random.Random) -> Words | None:
    def other(word: str) -> str | None:
        core = word.strip(".,?!'\"")
        if len(core) < 4 or not core.isalpha() or not core[0].isupper():
            return None
        at = draw.randrange(1, len(core) - 1)
        return word.replace(core, core[:at] + draw.choice("aeiourtln") + core[at + draw.randint(0, 1) :])

    return _replaced(words, draw, other)


def _apostrophe(words: Words, draw: random.Random) -> Words | None:
    return _replaced(words, draw, lambda w: w.replace("'", "") if re.search(r"\w'\w", w) else None)


def _compound(words: Words, draw: random.Random) -> Words | None:
    at = draw.randrange(len(words) - 1)
    if not (words[at][-1].isalnum() and words[at + 1][0].isalnum()):
        return None
    return [*words[:at], words[at] + draw.choice(["", "\u00ad", "'"]) + words[at + 1], *words[at + 2 :]]


def _half_a_compound(words: Words, draw: random.Random) -> Words | None:
    if "-" in words[0].strip("-"):
        return [words[0].split("-", 1)[1], *words[1:]]
    return [*words[:-1], words[-1].rsplit("-", 1)[0]] if "-" in words[-1].strip("-") else None


def _left_out(words: Words, draw: random.Random) -> Words | None:
    at = draw.randrange(1, len(words) - 1)
    mark = draw.choice([[], ["…"], ["..."], ["[...]"], ["[sic]"], ["—"]])
    return [*words[:at], *mark, *words[at + draw.randint(1, 2) :]]


_CHANGES: dict[str, Change] = {
    "synonym": _synonym,
    "negation dropped": _negation_out,
    "negation added": _negation_in,
    "contraction spelled out": _spelled_out,
    "digits": _digits,
    "count in words": _other_of(_COUNTS),
    "ordinal": _other_of(_ORDINALS),
    "unit": _other_of(_UNITS),
    "date": _other_of(_DATES),
    "letter of another alphabet": _lookalike,
    "combining mark": _marked,
    "misspelt name": _misspelt,
    "apostrophe dropped": _apostrophe,
    "words run together": _compound,
    "half a compound": _half_a_compound,
    "left out": _left_out,
}


def _sentences(transcript: Transcript) -> list[tuple[str, list[str]]]:
    return [(s.speaker, transcript.segment_text(s.id).split()) for s in transcript.segments]


def _two_people(transcript: Transcript, draw: random.Random) -> Words | None:
    said = _sentences(transcript)
    borders = [at for at in range(1, len(said)) if said[at][0] != said[at - 1][0]]
    at = draw.choice(borders)
    before, after = said[at - 1][1], said[at][1]
    return before[-draw.randint(1, 9) :] + after[: draw.randint(1, 9)]


def _over_the_advertisement(transcript: Transcript, draw: random.Random) -> Words | None:
    """The end of what stands before a sentence, and the beginning of what comes after it."""
    said = _sentences(transcript)
    at = draw.randrange(1, len(said) - 1)
    if said[at - 1][0] != said[at + 1][0]:
        return None
    return said[at - 1][1][-draw.randint(3, 9) :] + said[at + 1][1][: draw.randint(3, 9)]


def _far_apart(transcript: Transcript, draw: random.Random) -> Words | None:
    one, other = draw.sample([words for _, words in _sentences(transcript) if len(words) > 4], 2)
    return one[: draw.randint(3, 12)] + other[-draw.randint(3, 12) :]


_SPLICES: dict[str, Callable[[Transcript, random.Random], Words | None]] = {
    "two people's sentences": _two_people,
    "over what stands between": _over_the_advertisement,
    "far apart": _far_apart,
}


def _wide(text: str, draw: random.Random) -> str:
    at = draw.randrange(len(text))
    return "".join(
        chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and c not in "\"'.,$%" and abs(i - at) < 9 else c
        for i, c in enumerate(text)
    )


def _ligatures(text: str, draw: random.Random) -> str:
    return text.replace("fi", "ﬁ").replace("fl", "ﬂ").replace("ff", "ﬀ")


def _unseen(text: str, draw: random.Random) -> str:
    at = draw.randrange(len(text))
    return text[:at] + draw.choice("\u200c\u200d\u2060\ufeff\u00ad\u200e") + text[at:]


def _typography(text: str, draw: random.Random) -> str:
    text = text.replace("'", "’").replace(" - ", " — ").replace("-", draw.choice("-‐‑"))
    return draw.choice(["“{}”", "‘{}’", "«{}»", '"{},"', "„{}“", "*{}*", "({})"]).format(text)


def _shouted(text: str, draw: random.Random) -> str:
    return draw.choice([text.upper(), text.title().replace("'S ", "'s "), text.lower(), text.capitalize()])


def _unpunctuated(text: str, draw: random.Random) -> str:
    return re.sub(r"[.,;:?!\"]+(?= |$)", "", text)


def _spaced(text: str, draw: random.Random) -> str:
    return draw.choice(["\u00a0", "  ", "\n", "\u2009", "\t"]).join(text.split())


def _quoted_inside(text: str, draw: random.Random) -> str:
    words = text.split()
    at = draw.randrange(len(words) - 2)
    words[at], words[at + 2] = "“" + words[at], words[at + 2] + "”"
    return "'" + " ".join(words) + "'"


def _percent(text: str, draw: random.Random) -> str:
    text = re.sub(r"(\d)%", draw.choice([r"\1 %", r"\1 percent", r"\1 PERCENT"]), text)
    return re.sub(r"(\d),(\d{3})", r"\1\2", text)


_DRESSES = [_wide, _ligatures, _unseen, _typography, _shouted, _unpunctuated, _spaced, _quoted_inside, _percent]


_IN_DIGITS = {word: at for at, word in enumerate(_COUNTS[:12], 1)}
_IN_DIGITS |= {"fifteen": 15, "eighteen": 18, "forty": 40}
_SCALES = ["hundred", "thousand", "million", "billion", "trillion"]
_RANKS = ["third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "fourteenth", "fifteenth"]
_RATES = ["second", "minute", "hour", "day", "week", "year"]


def wrong_lines(true: list[tuple[str, str]], seed: int, count: int) -> Iterator[tuple[str, str, int]]:
    """(kind, line, number of the true line) of `count` summary lines with something countable changed. `true`: lines
    and the words that they cite; what stands in these words is no lie."""
    draw = random.Random(seed)
    kinds: dict[str, Callable[[str, random.Random], str | None]] = {
        "digit": _line_digit, "number in words": _line_word(list(_IN_DIGITS)), "scale": _line_word(_SCALES),
        "rank": _line_word(_RANKS), "unit": _line_unit, "month or day": _line_word(_DATES),
        "currency": _line_currency, "rate": _line_rate, "percent": _line_percent, "exchanged": _line_exchanged,
        "power of ten": _line_power,
    }  # fmt: skip
    made = 0
    while made < count:
        kind = draw.choice(list(kinds))
        number = draw.randrange(len(true))
        text, cited = true[number]
        new = kinds[kind](text, draw)
        if new is not None and new != text and not _there(new, text, cited):
            made += 1
            yield kind, new, number


def _there(new: str, old: str, cited: str) -> bool:
    """Whether what is new in a line stands in the cited words too, in digits or in words."""
    before, said = letters(old).split(), letters(cited).split()
    added = [word for word in letters(new).split() if word not in before]
    told = {str(_IN_DIGITS.get(word, word)) for word in said}
    return bool(added) and all(str(_IN_DIGITS.get(word, word)) in told for word in added)


def _line_word(listed: list[str]) -> Callable[[str, random.Random], str | None]:
    change = _other_of(listed)

    def changed(text: str, draw: random.Random) -> str | None:
        words = change(text.split(), draw)
        return " ".join(words) if words else None

    return changed


def _line_digit(text: str, draw: random.Random) -> str | None:
    places = [at for at, c in enumerate(text) if c.isdigit()]
    if not places:
        return None
    at = draw.choice(places)
    return text[:at] + str((int(text[at]) + draw.randint(1, 9)) % 10) + text[at + 1 :]


def _line_power(text: str, draw: random.Random) -> str | None:
    found = re.search(r"\d+(?:[.,]\d+)*", text)
    if found is None:
        return None
    new = draw.choice(
        [found[0] + "0" * ("." not in found[0]), found[0].replace(",", "."), found[0].replace(".", ""), "1" + found[0]]
    )
    return text[: found.start()] + new + text[found.end() :]


def _line_currency(text: str, draw: random.Random) -> str | None:
    new = draw.choice("$€¥")
    return text.replace("£", new) if "£" in text else text.replace(" pounds", " dollars") if "pounds" in text else None


def _line_rate(text: str, draw: random.Random) -> str | None:
    found = re.search(r"(?:per|an?) (second|minute|hour|day|week|year)\b", text)
    return text[: found.start(1)] + draw.choice(_RATES) + text[found.end(1) :] if found else None


def _line_unit(text: str, draw: random.Random) -> str | None:
    listed = [unit for unit in _UNITS if unit not in {"turbines", "homes"}]
    words = text.split()
    counts = [any(c.isdigit() for c in word) or word.lower() in _IN_DIGITS for word in words]
    places = [at + 1 for at, counted in enumerate(counts[:-1]) if counted and words[at + 1].strip(".,?") in listed]
    if not places:
        return None
    at = draw.choice(places)
    core = words[at].strip(".,?")
    words[at] = words[at].replace(core, draw.choice([unit for unit in listed if unit.rstrip("s") != core.rstrip("s")]))
    return " ".join(words)


def _line_percent(text: str, draw: random.Random) -> str | None:
    return re.sub(r"(\d+)%", draw.choice([r"\1 tonnes", r"\1 pounds"]), text) if re.search(r"\d%", text) else None


def _line_exchanged(text: str, draw: random.Random) -> str | None:
    """Two numbers of a line in each other's place, where each has a clause of its own."""
    found = list(re.finditer(r"(?<![\d.,])\d+(?:[.,]\d+)*", text))
    if len(found) != 2 or not re.search(r"[,;]", text[found[0].end() : found[1].start()]):
        return None
    one, other = found
    between = text[one.end() : other.start()]
    return text[: one.start()] + other[0] + between + one[0] + text[other.end() :]
