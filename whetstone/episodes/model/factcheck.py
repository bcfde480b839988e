"""Claims against evidence that the user added, and against nothing else.

No evidence means "not enough evidence", never "false". An episode is no evidence for itself, nor for what the same
people say elsewhere: whoever builds the index of passages leaves those out. A verdict needs two looks that agree and
words that stand in a passage and can carry it (`deciding`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whetstone.episodes.content import Claim, Evidence, Quote, Stance
from whetstone.episodes.model.claims import alone, checkable, claim_id, to_check
from whetstone.episodes.model.deciding import ground, objection
from whetstone.episodes.model.judging import Judged, stances
from whetstone.episodes.model.shapes import STANCE_ROOM
from whetstone.episodes.model.writer import Writer

PASSAGES = 8  # of each kind looked at for each claim
OVERHEAD = 400  # tokens of the instructions around a claim and its passages


@dataclass(frozen=True)
class Passage:
    """A piece of evidence: some sentences of a source, with its title, where it is, its date as ISO text, and the day
    on which a search found it ("" for what the user added)."""

    text: str
    title: str
    source: str
    published: str = ""
    retrieved: str = ""


Told = Callable[[str, int, int], None]  # stage, done, wanted
Find = Callable[[str, int], Sequence[Passage]]  # a claim, how many passages


def check_claims(
    claims: Sequence[tuple[str, Quote]],
    writer: Writer | None,
    find: Find | None,
    dismissed: frozenset[str] = frozenset(),
    told: Told = lambda stage, done, wanted: None,
    own: Callable[[str], bool] = lambda text: False,
) -> list[Claim]:
    """Every claim with its stance, at most once each. Without evidence or without a model it is "not enough
    evidence". `told` is told of a model's answers; `own`: whether a text has the episode's own words in it."""
    unique: dict[str, tuple[str, Quote]] = {}
    for text, said in claims:
        unique.setdefault(claim_id(text), (text, said))
    todo = to_check(claims, dismissed)
    passages = [list(find(text, PASSAGES)) if find else [] for text in todo.values()]
    judged: dict[str, Claim] = {}
    if writer is not None and any(passages):
        stated = [alone(text, unique[name][1].speaker) for name, text in todo.items()]
        passages = [_fitting(writer, claim, found) for claim, found in zip(stated, passages, strict=True)]
        texts = [[passage.text for passage in found] for found in passages]

        def shown(done: int, wanted: int) -> None:
            told("check claims (looks)", done, wanted)

        looks = stances(writer, stated, texts, shown)
        for name, claim, look, found in zip(todo, stated, looks, passages, strict=True):
            text, said = unique[name]
            evidence = _evidence(look, claim, said.speaker, found, own)
            if evidence:
                judged[name] = Claim(name, text, said, look.stance, evidence)
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


def _fitting(writer: Writer, claim: str, passages: Sequence[Passage]) -> list[Passage]:
    """The passages, the first before the others, that the model can take at once."""
    room = writer.context - STANCE_ROOM - OVERHEAD - writer.count(claim)
    kept = []
    for passage in passages:
        size = writer.count(passage.text) + 2
        if size <= room:
            kept.append(passage)
            room -= size
    return kept


def _evidence(
    look: Judged, text: str, speaker: str, passages: Sequence[Passage], own: Callable[[str], bool]
) -> tuple[Evidence, ...]:
    """The passages that carry a verdict; none where the words of either look do not."""
    found: dict[int, Evidence] = {}
    for place, words in look.shown:
        passage = passages[place]
        there = ground(passage.text, passage.title, words)
        if there is None or own(there.text) or objection(look.stance, text, there, speaker):
            return ()
        found.setdefault(
            place,
            Evidence(passage.text, passage.title, passage.source, passage.published, passage.retrieved, there.text),
        )
    return tuple(found.values())
