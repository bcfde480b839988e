"""Claims against evidence that the user added, and against nothing else.

No evidence means "not enough evidence", never "false". An episode is no evidence for itself, nor for what the same
people say elsewhere: whoever builds the index of passages leaves those out. A verdict needs two looks that agree and
words that stand in a passage; "supported" also that the passage has the claim's numbers, dates and names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whetstone.episodes.content import Claim, Evidence, Line, Quote, Stance
from whetstone.episodes.gate.faithful import check_lines
from whetstone.episodes.model.judging import stances
from whetstone.episodes.model.writer import Writer
from whetstone.episodes.normal import tokens
from whetstone.episodes.transcript import Origin, Segment, Timing, Transcript, Word

PASSAGES = 8  # looked at for each claim
_OPINION = re.compile(
    r"\b(i (?:think|feel|believe|guess|hope|love|like|wish)|in my (?:opinion|view)|should|maybe|perhaps|might|probably|"
    r"imagine|suppose|if (?:i|we|you)|would be|best|worst|beautiful|funny)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Passage:
    """A piece of evidence: some sentences of a source, with its title, where it is, and its date as ISO text."""

    text: str
    title: str
    source: str
    published: str = ""


Told = Callable[[str, int, int], None]  # stage, done, wanted
Find = Callable[[str, int], Sequence[Passage]]  # a claim, how many passages


def checkable(text: str) -> bool:
    """Whether a claim states something that a source could settle: no opinion, hypothesis or wish, and something
    definite in it, a number or a name."""
    words = text.split()
    definite = any(any(c.isdigit() for c in word) for word in words) or any(word[0].isupper() for word in words[1:])
    return not _OPINION.search(text) and definite and len(words) >= 4 and not text.rstrip().endswith("?")


def claim_id(text: str) -> str:
    """What a dismissal is remembered by: the same words, the same claim."""
    return hashlib.sha256(" ".join(tokens(text)).encode()).hexdigest()[:16]


def check_claims(
    claims: Sequence[tuple[str, Quote]],
    writer: Writer | None,
    find: Find | None,
    dismissed: frozenset[str] = frozenset(),
    told: Told = lambda stage, done, wanted: None,
) -> list[Claim]:
    """Every claim with its stance, at most once each. Without evidence or without a model it is "not enough
    evidence". `told` is told of a model's answers."""
    unique: dict[str, tuple[str, Quote]] = {}
    for text, said in claims:
        unique.setdefault(claim_id(text), (text, said))
    todo = [(name, *each) for name, each in unique.items() if checkable(each[0]) and name not in dismissed]
    passages = [list(find(text, PASSAGES)) if find else [] for _, text, _ in todo]
    judged: dict[str, Claim] = {}
    if writer is not None and any(passages):
        texts = [[passage.text for passage in found] for found in passages]

        def shown(done: int, wanted: int) -> None:
            told("check claims (looks)", done, wanted)

        looks = stances(writer, [text for _, text, _ in todo], texts, shown)
        for (name, text, said), look, found in zip(todo, looks, passages, strict=True):
            if look.passage is None:
                continue
            passage = found[look.passage]
            stance = look.stance
            if stance is Stance.SUPPORTED and not _has_facts(passage.text, text):
                stance = Stance.NOT_ENOUGH
            if stance is not Stance.NOT_ENOUGH:
                evidence = Evidence(passage.text, passage.title, passage.source, passage.published)
                judged[name] = Claim(name, text, said, stance, (evidence,))
    result = []
    for name, (text, said) in unique.items():
        plain = Claim(
            name,
            text,
            said,
            Stance.NOT_ENOUGH if checkable(text) else Stance.NOT_CHECKABLE,
            dismissed=name in dismissed,
        )
        result.append(judged.get(name, plain))
    return result


def fewer(claims: Sequence[Claim], most_open: int) -> list[Claim]:
    """The claims, in order: all that have evidence or were dismissed, and of the others at most so many, those that
    could be checked before those that could not, evenly over the conversation."""
    plain = [claim for claim in claims if not claim.evidence and not claim.dismissed]
    if len(plain) <= most_open:
        return list(claims)
    best = [claim for claim in plain if claim.stance is Stance.NOT_ENOUGH]
    if len(best) < most_open:
        best += [claim for claim in plain if claim.stance is Stance.NOT_CHECKABLE][: most_open - len(best)]
    kept = {best[place * len(best) // most_open].id for place in range(most_open)}
    return [claim for claim in claims if claim.evidence or claim.dismissed or claim.id in kept]


def _has_facts(passage: str, claim: str) -> bool:
    """Whether the claim's numbers, dates and names are in the passage: the veto that summary lines pass too."""
    words = tuple(Word(text) for text in passage.split())
    alone = Transcript(words, (Segment(0, 0, len(words)),), Timing.NONE, Origin.PUBLISHER)
    return not check_lines([Line(claim, (0,))], alone)[1]
