"""Verify, then select: what becomes of several answers to one question, in training, in evaluation and in the server.

The answers come from `rollout.Questioner` (a task's problems) or a strategy; a verdict, a reward or a verifier's score
stands beside each. Training keeps all of them and gives each its advantage, an evaluation asks how often a vote or the
best of k is right, a server sends the one that was selected.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from statistics import fmean
from typing import Literal, TypeVar

from whetstone.errors import UsageError

SELECTIONS = ("first", "majority", "weighted", "best")
Selection = Literal["first", "majority", "weighted", "best"]
Answer = TypeVar("Answer", bound=Hashable)


def advantages(rewards: Sequence[float]) -> tuple[float, ...]:
    """What each answer of a group is better than its group's mean (not divided by the deviation: Dr. GRPO,
    arXiv 2503.20783)."""
    mean = fmean(rewards)
    return tuple(reward - mean for reward in rewards)


def totals(answers: Sequence[Answer | None], weights: Sequence[float] | None = None) -> dict[Answer, float]:
    """The votes for each answer, in the order in which they came; None does not vote. `weights`: one for each vote."""
    votes: dict[Answer, float] = {}
    for answer, weight in zip(answers, weights or [1.0] * len(answers), strict=True):
        if answer is not None:
            votes[answer] = votes.get(answer, 0.0) + weight
    return votes


def select(how: Selection, answers: Sequence[Answer | None], scores: Sequence[float] = ()) -> int | None:
    """The place of the answer that is selected; None where no one gave an answer.

    "first": the first that is an answer at all. "majority": self-consistency (Wang et al. 2022), the first of those
    with the most votes; among equals the one that came first wins, which nobody chose by its verdict. "weighted": the
    same with `scores` as votes' weights (Li et al. 2023). "best": the highest score, the first among equals.

    Raises ValueError where scores are needed and there is not one for each answer.
    """
    if how in ("weighted", "best") and len(scores) != len(answers):
        raise ValueError(f"{how} needs a score for each answer")
    voting = [place for place, answer in enumerate(answers) if answer is not None]
    if not voting:
        return None
    if how == "first":
        return voting[0]
    if how == "best":
        return max(voting, key=lambda place: scores[place])
    votes = totals(answers, scores if how == "weighted" else None)
    return answers.index(max(votes, key=lambda answer: votes[answer]))


def known_selection(name: str) -> Selection:
    """The name as one of ours. Raises UsageError."""
    for selection in SELECTIONS:
        if name == selection:
            return selection  # type: ignore[return-value]
    raise UsageError(f"unknown selection {name!r}; choose one of {', '.join(SELECTIONS)}")
