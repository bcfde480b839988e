"""Whether the words that a judge points at can carry its verdict on a claim: a veto, without a model.

A judge can be wrong, or be talked into something by a passage. So the sentences around its words must speak of the
claim's subject and have most of its matter. To support, they must have its numbers (of the same things), dates and
names, and turn nothing round; what they only report, plan or call false supports nothing. To contradict, they must
differ from the claim in something that can be seen. What the speaker says elsewhere is no evidence for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations

from whetstone.episodes.content import Stance
from whetstone.episodes.gate import Accepted, Gate
from whetstone.episodes.gate.faithful import contradicting_number, missing_date, missing_name, support
from whetstone.episodes.gate.quantities import Quantity, is_number, is_unit, placed
from whetstone.episodes.gate.turned import denied, opposed
from whetstone.episodes.lexicon import carries, negates, stem
from whetstone.episodes.model.doubting import doubt
from whetstone.episodes.model.judging import SHORTEST_EVIDENCE
from whetstone.episodes.names import bare, capital, common
from whetstone.episodes.normal import tokens
from whetstone.episodes.segments import segmented
from whetstone.episodes.transcript import Origin, Timing, Transcript, Word

MATTER = 0.5  # share of a claim's words of content that the sentences and their neighbours must have
MOST_EXCHANGED = 2  # words of content in a row that take the place of others; more is another way to say it
BEFORE = 3  # words of content before a number that tell what it is of

_OPENS = re.compile("in|at|on|since|during|after|before|by|from|for|until|as|of|with", re.IGNORECASE)
_POINTS = re.compile("(?:it|he|she|they|that|this|there|here)(?:'s)?|these|those|its|his|her|their|both|one|another")
_SAYS = re.compile(
    r"\b(?:says?|said|tells?|told|claims?|claimed|argues?|argued|explains?|explained|according|thinks?|believes?|"
    r"podcast|interview|episode)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Ground:
    """The sentences that hold a judge's words, together as the passage has them (`text`); those before and after
    (`beside`); all of these with the title of the source (`wide`); and the whole passage with it."""

    text: str
    sentences: tuple[str, ...]
    beside: tuple[str, ...]
    wide: str
    whole: str
    gate: Gate

    @property
    def points(self) -> bool:
        """Whether the sentences only point at what they are about: "It weighs …"."""
        return _POINTS.fullmatch("".join(tokens(self.text)[:1])) is not None


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
    beside = tuple(transcript.segment_text(place) for place in near if place not in own)
    text = transcript.text(transcript.segments[own.start].first, transcript.segments[own.stop - 1].end)
    wide = " ".join(transcript.segment_text(place) for place in near)
    sentences = tuple(transcript.segment_text(place) for place in own)
    return Ground(text, sentences, beside, f"{wide} {title}", f"{passage} {title}", gate)


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
    if word := _exchanged(claim, found):
        return f"it does not say {word}"
    if names := _reversed(claim, found.text):
        return f"it says it of {names}"
    if date := missing_date(claim, found.text):
        return f"it does not have {date}"
    if name := missing_name(claim, found.wide, found.gate):
        return f"it does not have {name}"
    if word := _denied_once(claim, found.sentences):
        return f"it turns {word} round"
    if word := opposed(claim, [found.text], strict=True):
        return f"it says the opposite of {word}"
    word = doubt(claim, found.text, found.beside)
    return f"it says {word}" if word else ""


def _exchanged(claim: str, found: Ground) -> str:
    """A word that the ground lacks and has another for in the same place, between the same words; or one with a digit
    that is no number to us ("A4") and is not in the sentences; "" for none."""
    there = set(tokens(found.text))
    pointed_at = _stems(found.wide) - _stems(found.text) if found.points else set()
    for token in tokens(claim):
        if any(c.isdigit() for c in token) and not placed(token) and token not in there:
            return token
    ours, theirs = (
        [stem(bare(t)) for t in tokens(each) if carries(bare(t)) and not is_number(t) and not is_unit(t)]
        for each in (claim, found.text)
    )
    codes = SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
    for number, (kind, first, end, begin, stop) in enumerate(codes):
        beside = [each for each in (number - 1, number + 1) if 0 <= each < len(codes) and codes[each][0] == "equal"]
        edge = (first == begin == 0) or (end == len(ours) and stop == len(theirs))
        between = len(beside) == 2 or (beside and edge)
        if kind == "replace" and end - first <= MOST_EXCHANGED and stop - begin <= MOST_EXCHANGED and between:
            near = theirs[max(0, begin - MOST_EXCHANGED) : stop + MOST_EXCHANGED]  # there in another order
            missing = [each for each in ours[first:end] if each not in near and each not in pointed_at]
            if missing:
                return missing[0]
    return ""


def _reversed(claim: str, text: str) -> str:
    """Two names of a claim that stand around one of its words in the text too, but the other way round ("Wick beat
    Thurso"); "" for none. A "by" turns the order round without a harm."""
    words, line = claim.split(), [stem(bare(token)) for token in tokens(text)]
    stems = [stem(bare("".join(tokens(word)[:1]))) for word in words]
    names = [
        at
        for at, word in enumerate(words)
        if capital(word) and _carrying(word) and stems[at] in line and not (at and _OPENS.fullmatch(words[at - 1]))
    ]
    if ("by" in tokens(claim)) != ("by" in line):
        return ""
    for one, other in combinations(names, 2):
        first, last = line.index(stems[other]), line.index(stems[one])
        between = {stems[at] for at in range(one + 1, other) if _carrying(words[at])}
        if between & set(line[first + 1 : last]):
            return f"{words[other]} and {words[one]}".replace(",", "").replace(".", "")
    return ""


def _denied_once(claim: str, sentences: Sequence[str]) -> str:
    """A word that is denied in the claim alone, or where it stands in the sentences and not in the claim; a "not" of
    the claim's that they have no match for; "" for none. Stricter than `faithful.turned_round`: here a doubt is no
    loss."""
    line, said = tokens(claim), [tokens(sentence) for sentence in sentences]
    here, there = denied(line), [denied(sentence) for sentence in said]
    for word in sorted(set(map(stem, line))):
        places = [place for place, sentence in enumerate(said) if word in set(map(stem, sentence))]
        if places and (word in here) != any(word in there[place] for place in places):
            return word
    ours, theirs = (sum(map(negates, tokens)) for tokens in (line, [each for sentence in said for each in sentence]))
    return next(filter(negates, line)) if ours > theirs else ""


def _missing_subject(claim: str, found: Ground) -> str:
    """What of a claim's subject the ground lacks; "" for nothing. It must be in the sentences, or in those beside them
    or the title where they only point at it ("It weighs …"); of a name's parts only the last must be so near."""
    words = claim.split()
    near, anywhere = _stems(found.wide if found.points else found.text), _stems(found.whole)
    subject = _subject(words)
    for at in subject:
        name = capital(words[at]) and at + 1 in subject and capital(words[at + 1])
        if any(stem(token) not in (anywhere if name else near) for token in _carrying(words[at])):
            return words[at].strip(".,;:!?\"'“”")
    return ""


def _subject(words: Sequence[str]) -> list[int]:
    """Where the words stand that a claim is about: its first words of content up to a word of grammar. What comes just
    before a number or the end may be the verb, and is none of them unless it is alone; "In Wick the pier" has two."""
    found: list[int] = []
    opened = _OPENS.fullmatch(words[0])
    for at, word in enumerate(words):
        carrying = bool(_carrying(word))
        if carrying:
            found.append(at)
        if found and (not carrying or word[-1] in ",;:."):
            if placed(word) and len(found) > 1:
                found.pop()
            if not opened:
                return found
            opened = None
    return found[:1]


def _carrying(word: str) -> list[str]:
    """The tokens of a word that have a meaning of their own, and are no numbers."""
    return [] if placed(word) else [bare(token) for token in tokens(word) if carries(bare(token))]


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
