"""Whether a summary's line says what its cited segments say, as far as that can be told without a model: a veto.

Numbers with their units, dates and names of a line must occur in what it cites; it must not turn a statement round; its
quotations pass the quote gate; enough of its words must come from there. A line that passes may still be wrong: this
rejects, it never vouches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from whetstone.episodes.content import Line
from whetstone.episodes.gate import Gate
from whetstone.episodes.gate.quantities import Quantity, date_words, one_unit, quantities, single, units
from whetstone.episodes.gate.turned import exchanged, opposed, turned_round
from whetstone.episodes.lexicon import carries, content, stem
from whetstone.episodes.names import bare, capital, common, starts
from whetstone.episodes.normal import tokens
from whetstone.episodes.transcript import Transcript

# the share of a line's words of content that the cited segments must have, in any inflection
FLOOR = 0.25
# a word that opens a line and that nobody says is taken for a name, unless it ends like a common word
_COMMON_ENDINGS = (
    "ing",
    "ed",
    "ly",
    "tion",
    "sion",
    "ment",
    "ness",
    "ity",
    "ers",
    "ors",
    "ive",
    "ful",
    "ous",
    "able",
    "al",
)


class Fault(StrEnum):
    """Why a line is dropped."""

    UNCITED = "cites nothing"
    UNKNOWN = "cites a segment that does not exist"
    EMPTY = "says nothing"
    QUOTATION = "puts words in quotation marks that were not said"
    NUMBER = "has a number that the cited segments do not have"
    EXCHANGED = "gives a number to what has another one"
    DATE = "has a date that the cited segments do not have"
    NAME = "has a name that the cited segments do not have"
    NEGATION = "says the opposite"
    UNSUPPORTED = "has too little of what the cited segments say"


@dataclass(frozen=True)
class Dropped:
    """A line that stays off the page, and the word or number that it failed by."""

    line: Line
    fault: Fault
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.fault}{f' ({self.detail})' if self.detail else ''}: {self.line.text}"


def check_lines(
    lines: Iterable[Line], transcript: Transcript, *, gate: Gate | None = None, floor: float = FLOOR
) -> tuple[tuple[Line, ...], tuple[Dropped, ...]]:
    """The lines that may be shown, and those that are dropped with the reason, each in order. `gate` saves building one
    of this transcript."""
    gate = gate or Gate(transcript)
    kept: list[Line] = []
    dropped: list[Dropped] = []
    for line in lines:
        fault = _fault(line, gate, floor)
        if fault:
            dropped.append(Dropped(line, *fault))
        else:
            kept.append(line)
    return tuple(kept), tuple(dropped)


def support(text: str, evidence: str) -> float:
    """The share of the words of content in `text` that `evidence` has in some inflection, 0 to 1; 1 where `text` has
    none."""
    stems = set(content(tokens(text)))
    return len(stems & set(content(tokens(evidence)))) / len(stems) if stems else 1.0


def contradicting_number(text: str, evidence: str) -> str:
    """The first number of `text`, as it is written, that `evidence` does not have with that unit; "" if it has all."""
    have = quantities(evidence)
    counted = {quantity.unit for quantity in have} | {quantity.rate for quantity in have}
    there = _There(set(content(tokens(evidence))), counted, single(evidence))
    for wanted in quantities(text):
        found = any(_equal(wanted, each, there) for each in have)
        if not found and (not wanted.loose or _otherwise(wanted, have, there)):
            return wanted.text
    known = units(evidence)
    return next((f"a {unit}" for unit in one_unit(text) if unit not in known), "")


def missing_date(text: str, evidence: str) -> str:
    """A month or a day of the week that `text` names and `evidence` does not; "" if there is none."""
    return next(iter(sorted(date_words(text) - _all_date_words(evidence))), "")


def missing_name(text: str, evidence: str, gate: Gate) -> str:
    """The first name in `text` that `evidence` (with the names of those who speak there) does not have."""
    have = {bare(token) for token in tokens(evidence)}
    words = text.split()
    small_words = [word for word in words if carries(bare("".join(tokens(word)[:1])))]
    # in a headline most words have capitals, and only what the transcript knows as a name is one
    headline = len(small_words) > 3 and sum(map(capital, small_words)) > 0.7 * len(small_words)
    for index, word in enumerate(words):
        found = tokens(word)
        if not found or not capital(word) or common(found[0]):
            continue
        if starts(words, index) and quantities(word):  # "Half of them": held against the numbers
            continue
        wanted = {bare(token) for token in found if not common(token) and any(c.isalpha() for c in token)}
        if wanted <= have or not _is_name(words, index, gate, doubt=headline or starts(words, index)):
            continue
        if not _inflected(wanted - have, have):
            return word.strip(".,;:?!\"'“”‘’()")
    return ""


def _fault(line: Line, gate: Gate, floor: float) -> tuple[Fault, str] | None:
    transcript = gate.transcript
    if not line.segments:
        return Fault.UNCITED, ""
    unknown = [segment for segment in line.segments if not 0 <= segment < len(transcript.segments)]
    if unknown:
        return Fault.UNKNOWN, str(unknown[0])
    if not tokens(line.text):
        return Fault.EMPTY, ""
    for refused in gate.line(line.text, line.segments):
        return Fault.QUOTATION, str(refused)
    cited = [transcript.segment_text(segment) for segment in dict.fromkeys(line.segments)]
    evidence = " ".join(cited)
    speakers = " ".join(sorted({transcript.segments[segment].speaker for segment in line.segments}))
    if number := contradicting_number(line.text, evidence):
        return Fault.NUMBER, number
    if date := missing_date(line.text, evidence):
        return Fault.DATE, date
    if name := missing_name(line.text, f"{evidence} {speakers}", gate):
        return Fault.NAME, name
    if number := exchanged(line.text, cited):
        return Fault.EXCHANGED, number
    if word := turned_round(line.text, cited) or opposed(line.text, cited):
        return Fault.NEGATION, word
    # who speaks is no content of what is said
    about = " ".join(token for token in tokens(line.text) if bare(token) not in tokens(speakers))
    if support(about, evidence) < floor:
        return Fault.UNSUPPORTED, f"{support(about, evidence):.2f}"
    return None


@dataclass(frozen=True)
class _There:
    """What the evidence has beside its numbers: the stems of its words of content, its units, what it has one of."""

    stems: set[str]
    units: set[str]
    single: set[str]


def _otherwise(loose: Quantity, have: Iterable[Quantity], there: _There) -> bool:
    """Whether the evidence counts or ranks the same thing, and as another: "one turbine" where there are four, "the
    second machine" where it is the first."""
    if not loose.of or loose.of[0] in there.single:
        return False
    return any(each.kind == loose.kind and each.of[:1] == loose.of[:1] and each.value != loose.value for each in have)


def _equal(wanted: Quantity, found: Quantity, there: _There) -> bool:
    """Whether two quantities are the same: 40% and 40 percent, two and 2, half and 50 percent, the 14th and 14."""
    if wanted.unit == "percent" and found.kind == "part":
        return wanted.value == found.value * 100
    if wanted.kind == "part" and found.unit == "percent":
        return wanted.value * 100 == found.value
    if wanted.kind == "code":
        return found.text == wanted.text
    if not _within(wanted.bound, found.bound) or (wanted.rate and not _same_rate(wanted, found, there)):
        return False
    if {wanted.kind, found.kind} == {"ordinal", "date"}:
        return wanted.value == found.value
    return wanted.kind == found.kind and wanted.value == found.value and _of_the_same(wanted, found, there)


def _within(wanted: str, found: str) -> bool:
    """Whether a bound may stand where the evidence has another one, or none ("over three years" may mean during)."""
    if not wanted or wanted.endswith("?"):
        return not {wanted[:1], found[:1]} & {">", "≥"} or not {wanted[:1], found[:1]} & {"<", "≤"}
    return wanted == found.removesuffix("?")


def _same_rate(wanted: Quantity, found: Quantity, there: _There) -> bool:
    """Whether both are per the same; a rate may be said once for several numbers."""
    return wanted.rate == found.rate or (not found.rate and wanted.rate in there.units)


def _of_the_same(wanted: Quantity, found: Quantity, there: _There) -> bool:
    """Whether equal numbers count the same thing, as far as their units and the words after them tell."""
    if wanted.unit and found.unit:
        return wanted.unit == found.unit
    if wanted.unit:
        # "at 19 pence, and the next at 13": a unit may be said once
        return wanted.unit in there.units and not found.of
    if not wanted.of or wanted.year:
        return True
    if found.unit:
        return False
    # "four turbines" is not "four investors" where there are investors too, of another number
    return not found.of or bool(set(wanted.of) & set(found.of)) or wanted.of[0] not in there.stems


def _all_date_words(evidence: str) -> set[str]:
    """Every word that may be a month or a day, capital or not: a transcript may have no capitals."""
    found = date_words(evidence)
    for token in tokens(evidence):
        found |= date_words(f"the {token.capitalize()}")
    return found


def _is_name(words: Sequence[str], index: int, gate: Gate, doubt: bool) -> bool:
    """Whether a word with a capital is a name. Where every word would have one (`doubt`): if the transcript has it as a
    name, if a capital follows it, or if nobody says it in any form and it has no ending of a common word."""
    if not doubt:
        return True
    token = bare(tokens(words[index])[0])
    if gate.names.known(token):
        return True
    if gate.says(token):
        return False
    followed = index + 1 < len(words) and capital(words[index + 1]) and not starts(words, index + 1)
    return followed or not token.endswith(_COMMON_ENDINGS)


def _inflected(missing: Iterable[str], have: Iterable[str]) -> bool:
    """Whether every missing word is another form of one that is there: Europeans, Europe."""
    stems = {stem(token) for token in have}
    return all(stem(token) in stems for token in missing)
