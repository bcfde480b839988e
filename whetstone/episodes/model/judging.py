"""Two looks at every line and every claim, the passages in another order each time; what does not convince twice, and
cannot show its words, does not count.

The judge is a model, so its word alone is never enough: the words it points at must stand in the passages exactly (the
quote gate's normal form), and numbers, dates and names of the line must be in them (`faithful`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whetstone.episodes.content import Stance
from whetstone.episodes.model.shapes import (
    STANCE,
    STANCE_ROOM,
    STANCE_TASK,
    SUPPORT,
    SUPPORT_ROOM,
    SUPPORT_TASK,
    chat,
)
from whetstone.episodes.model.writer import Shown, Writer, Written
from whetstone.episodes.normal import tokens

SHORTEST_EVIDENCE = 3  # tokens; fewer would be found anywhere


@dataclass(frozen=True)
class Judged:
    """What both looks agree on: the stance, and for each look the passage and the words in it that show it."""

    stance: Stance
    shown: tuple[tuple[int, str], ...] = ()


def supported(
    writer: Writer, lines: Sequence[str], passages: Sequence[Sequence[str]], shown: Shown | None = None
) -> list[bool]:
    """Whether each line is said by its passages, by both looks and with words that stand there. `shown` is told of
    answers, two for each line."""
    asks = [
        chat(f"{SUPPORT_TASK}{line}", "\n".join(order))
        for line, texts in zip(lines, passages, strict=True)
        for order in (texts, texts[::-1])
    ]
    answers = writer.write(asks, SUPPORT, SUPPORT_ROOM, shown)
    verdicts = []
    for place, texts in enumerate(passages):
        looks = answers[2 * place : 2 * place + 2]
        good = [
            look.value is not None
            and look.value["supported"] is True
            and standing(str(look.value["words"]), texts) is not None
            for look in looks
        ]
        verdicts.append(all(good))
    return verdicts


def stances(
    writer: Writer, claims: Sequence[str], passages: Sequence[Sequence[str]], shown: Shown | None = None
) -> list[Judged]:
    """What its passages say of each claim. Without passages, without two looks that agree, or without words that stand
    in a passage, it is "not enough evidence"."""
    asked = [place for place, texts in enumerate(passages) if texts]
    asks = [
        chat(f"{STANCE_TASK}{claims[place]}", "\n\n".join(order))
        for place in asked
        for order in (passages[place], passages[place][::-1])
    ]
    answers = writer.write(asks, STANCE, STANCE_ROOM, shown)
    judged = [Judged(Stance.NOT_ENOUGH)] * len(claims)
    for number, place in enumerate(asked):
        judged[place] = _agreed(answers[2 * number : 2 * number + 2], passages[place])
    return judged


def standing(words: str, passages: Sequence[str]) -> int | None:
    """The passage in which these words stand in an unbroken run; None for too few words, or nowhere."""
    wanted = tokens(words)
    if len(wanted) < SHORTEST_EVIDENCE:
        return None
    for place, passage in enumerate(passages):
        found = tokens(passage)
        if any(found[i : i + len(wanted)] == wanted for i in range(len(found) - len(wanted) + 1)):
            return place
    return None


def _agreed(looks: Sequence[Written], passages: Sequence[str]) -> Judged:
    nothing = Judged(Stance.NOT_ENOUGH)
    said = [look.value["stance"] if look.value is not None else None for look in looks]
    if said[0] not in (Stance.SUPPORTED.value, Stance.CONTRADICTED.value) or said[0] != said[1]:
        return nothing
    shown = []
    for look in looks:
        words = str(look.value["words"]) if look.value is not None else ""
        place = standing(words, passages)
        if place is None:
            return nothing
        shown.append((place, words))
    return Judged(Stance(said[0]), tuple(shown))
