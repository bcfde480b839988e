"""Whether the words that a judge points at can carry its verdict on a claim: a veto, without a model.

A judge can be wrong, or be talked into something by a passage. So the sentences around its words must speak of the
claim's subject and have most of its matter. To support, they must have its numbers (of the same things), dates and
names, and turn nothing round; what they only report, plan or call false supports nothing. To contradict, they must
differ from the claim in something that can be seen. What the speaker says elsewhere is no evidence for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from whetstone.episodes.content import Stance
from whetstone.episodes.faithful import contradicting_number, missing_date, missing_name, support
from whetstone.episodes.gate import Accepted, Gate
from whetstone.episodes.lexicon import carries, stem
from whetstone.episodes.model.judging import SHORTEST_EVIDENCE
from whetstone.episodes.model.turning import doubt, opposite
from whetstone.episodes.names import bare, capital, common
from whetstone.episodes.normal import tokens
from whetstone.episodes.quantities import Quantity, is_number, is_unit, placed
from whetstone.episodes.segments import segmented
from whetstone.episodes.transcript import Origin, Timing, Transcript, Word
from whetstone.episodes.turned import turned_round

MATTER = 0.5  # share of a claim's words of content that the sentences and their neighbours must have
BEFORE = 3  # words of content before a number that tell what it is of

_SAYS = re.compile(
    r"\b(?:says?|said|tells?|told|claims?|claimed|argues?|argued|explains?|explained|according|thinks?|believes?|"
    r"podcast|interview|episode)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Ground:
    """The sentences that hold a judge's words, `text` as the passage has them, and these with a sentence on either side
    and the title of the source (`wide`)."""

    text: str
    sentences: tuple[str, ...]
    wide: str
    whole: str
    gate: Gate


def ground(passage: str, title: str, words: str) -> Ground | None:
    """Where a judge's words stand in a passage; None where they do not, in one run."""
    split = tuple(Word(text) for text in passage.split())
    transcript = Transcript(split, segmented(split, Timing.NONE), Timing.NONE, Origin.PUBLISHER)
    gate = Gate(transcript)
    found = gate.check(words, fewest=SHORTEST_EVIDENCE)
    if not isinstance(found, Accepted):
        return None
    own = gate.segments_of(found.quote)
    near = range(max(0, own.start - 1), min(len(transcript.segments), own.stop + 1))
    text = transcript.text(transcript.segments[own.start].first, transcript.segments[own.stop - 1].end)
    wide = " ".join(transcript.segment_text(place) for place in near)
    sentences = tuple(transcript.segment_text(place) for place in own)
    return Ground(text, sentences, f"{wide} {title}", f"{passage} {title}", gate)


def objection(stance: Stance, claim: str, found: Ground, speaker: str = "") -> str:
    """Why the ground does not carry the stance (supported or contradicted); "" where nothing speaks against it.
    `speaker`: who made the claim."""
    if missing := _missing_subject(claim, found):
        return f"it is not about {missing}"
    if support(claim, found.wide) < MATTER:
        return "it has too little of what the claim says"
    if speaker and _own_word(claim, found, speaker):
        return "it is the speaker's own word"
    differs = _difference(claim, found)
    if stance is Stance.SUPPORTED:
        return differs
    if not differs and support(claim, found.text) == 1.0:
        return "it says the same"
    return _other_time(claim, found)


def _difference(claim: str, found: Ground) -> str:
    """What of a claim the sentences do not have or turn round; "" for nothing."""
    if number := contradicting_number(claim, found.text):
        return f"it does not have {number}"
    if number := _misplaced(claim, found.text):
        return f"it has {number} of something else"
    if date := missing_date(claim, found.text):
        return f"it does not have {date}"
    if name := missing_name(claim, found.wide, found.gate):
        return f"it does not have {name}"
    if word := turned_round(claim, found.sentences):
        return f"it turns {word} round"
    turned = doubt(claim, found.text, found.wide) or opposite(claim, found.text)
    return f"it says {turned}" if turned else ""


def _missing_subject(claim: str, found: Ground) -> str:
    """What a claim is about, by its first word of content (a name with all its parts), where the ground lacks it."""
    words = claim.split()
    first = next((at for at, word in enumerate(words) if _content(word)), None)
    if first is None:
        return ""
    end = first + 1
    while capital(words[first]) and end < len(words) and capital(words[end]) and words[end - 1][-1].isalnum():
        end += 1
    wanted = [bare(token) for word in words[first:end] for token in tokens(word) if carries(bare(token))]
    near, anywhere = _stems(found.wide), _stems(found.whole)
    there = stem(wanted[-1]) in near and all(stem(token) in anywhere for token in wanted)
    return "" if there else " ".join(words[first:end]).strip(".,;:!?\"'“”")


def _content(word: str) -> bool:
    return not placed(word) and any(carries(bare(token)) for token in tokens(word))


def _stems(text: str) -> set[str]:
    return {stem(bare(token)) for token in tokens(text)}


def _own_word(claim: str, found: Ground, speaker: str) -> bool:
    """Whether the sentences report what the speaker says."""
    name = [token for token in tokens(speaker) if not common(token)]
    if not name or name[-1] in tokens(claim):
        return False
    return name[-1] in {bare(token) for token in tokens(found.text)} and bool(_SAYS.search(found.text))


def _other_time(claim: str, found: Ground) -> str:
    """An objection where a claim of some year and of something else besides has none of its numbers in the ground:
    another number for another year contradicts nothing."""
    wanted = [quantity for quantity, _, _ in placed(claim)]
    years = [quantity for quantity in wanted if quantity.year]
    if not years or len(wanted) == len(years):
        return ""
    have = {quantity.value for quantity, _, _ in placed(found.wide)}
    return "" if any(quantity.value in have for quantity in wanted) else f"it is not about {years[0].text}"


def _misplaced(claim: str, text: str) -> str:
    """The first number of a claim that the text has, but of what another number of the same kind is of in the claim.

    What a number is of is told by the words of content before it, the nearest weighing most.
    """
    have = _told(text)
    for quantity, about in _told(claim):
        if len(about) < 2:
            continue
        alike = [(other, _likeness(about, there)) for other, there in have if _comparable(quantity, other)]
        same = [likeness for other, likeness in alike if other.value == quantity.value]
        if same and max(likeness for _, likeness in alike) > max(same):
            return quantity.text
    return ""


def _told(text: str) -> list[tuple[Quantity, dict[str, int]]]:
    """The numbers of a text, each with the stems of the words before it and their weights."""
    line = tokens(text)
    found = []
    for quantity, first, _ in placed(text):
        before = [stem(bare(t)) for t in line[:first] if carries(bare(t)) and not is_number(t) and not is_unit(t)]
        about: dict[str, int] = {}
        for weight, each in zip(range(BEFORE, 0, -1), reversed(before), strict=False):
            about.setdefault(each, weight)
        found.append((quantity, about))
    return found


def _comparable(one: Quantity, other: Quantity) -> bool:
    units = {one.unit, other.unit} - {""}  # a unit may be said once
    return one.kind == other.kind and len(units) <= 1 and one.year == other.year


def _likeness(one: dict[str, int], other: dict[str, int]) -> int:
    return sum(min(weight, other.get(each, 0)) for each, weight in one.items())
