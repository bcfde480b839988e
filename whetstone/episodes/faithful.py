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
from whetstone.episodes.lexicon import carries, content, negates, stem
from whetstone.episodes.names import bare, capital, common, starts
from whetstone.episodes.normal import tokens
from whetstone.episodes.quantities import Quantity, date_words, quantities
from whetstone.episodes.transcript import Transcript

# the share of a line's words of content that the cited segments must have, in any inflection
FLOOR = 0.25
# a line is held against a sentence for negation where at least this share of its words of content is there
_SAME_MATTER = 0.5
# a negation governs the next word of content within so many tokens
_SCOPE = 5
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
    there = _There(set(content(tokens(evidence))), {quantity.unit for quantity in have})
    wrong = (wanted for wanted in quantities(text) if not any(_equal(wanted, found, there) for found in have))
    return next((quantity.text for quantity in wrong), "")


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


def turned_round(text: str, sentences: Sequence[str]) -> str:
    """The word that is denied in `text` and nowhere in the sentences, or in all of them and not in `text`; "" if there
    is none or no sentence has most of the matter. One of several ways to say "not" ("fails to") is not read."""
    line = tokens(text)
    stems = set(content(line))
    said = [set(content(tokens(sentence))) for sentence in sentences]
    same = [bool(stems) and len(stems & there) / len(stems) >= _SAME_MATTER for there in said]
    turned = [denied(tokens(sentence)) for sentence in sentences]
    denied_here, denies = denied(line), any(map(negates, line))
    for word in sorted(stems):
        places = [index for index, there in enumerate(said) if word in there]
        if not any(same[index] for index in places):
            continue
        if not denies and all(word in turned[index] for index in places):
            return word
        if word in denied_here and not any(word in turned[index] for index in places):
            matter = [tokens(sentences[index]) for index in places]
            silent = not any(negates(token) for sentence in matter for token in sentence)
            if silent or (len(denied_here) == 1 and _affirmed(word, matter)):
                return word
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
    if word := turned_round(line.text, cited):
        return Fault.NEGATION, word
    # who speaks is no content of what is said
    about = " ".join(token for token in tokens(line.text) if bare(token) not in tokens(speakers))
    if support(about, evidence) < floor:
        return Fault.UNSUPPORTED, f"{support(about, evidence):.2f}"
    return None


@dataclass(frozen=True)
class _There:
    """What the evidence has beside its numbers: the stems of its words of content, and its units."""

    stems: set[str]
    units: set[str]


def _equal(wanted: Quantity, found: Quantity, there: _There) -> bool:
    """Whether two quantities are the same: 40% and 40 percent, two and 2, half and 50 percent, the 14th and 14."""
    if wanted.unit == "percent" and found.kind == "part":
        return wanted.value == found.value * 100
    if wanted.kind == "part" and found.unit == "percent":
        return wanted.value * 100 == found.value
    if {wanted.kind, found.kind} == {"number", "ordinal"}:
        # the 14th of February, February 14; but "4 percent" is not in "the 4th"
        return wanted.value == found.value and not wanted.unit and not found.unit
    return wanted.kind == found.kind and wanted.value == found.value and _of_the_same(wanted, found, there)


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


def denied(line: Sequence[str]) -> set[str]:
    """The stems that negations in a line (tokens) govern: of each, the first word of content after it."""
    found = set()
    for index, token in enumerate(line):
        if negates(token):
            governed = next((t for t in line[index + 1 : index + 1 + _SCOPE] if carries(t)), None)
            if governed:
                found.add(stem(governed))
    return found


def _affirmed(word: str, sentences: Iterable[Sequence[str]]) -> bool:
    """Whether some sentence says the word before it denies anything."""
    for sentence in sentences:
        for token in sentence:
            if negates(token):
                break
            if carries(token) and stem(token) == word:
                return True
    return False
