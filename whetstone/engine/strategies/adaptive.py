"""Votes that stop early by agreement, and samples given to the questions that need them.

Samples are drawn in waves, with the very seeds and parameters of `consistency`, so a pool serves both. What a wave asks
for is the least that could end the vote: no sample is drawn that the next look could have saved.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Protocol, runtime_checkable

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import SamplingParams
from whetstone.engine.selection import select
from whetstone.engine.strategies.parallel import Parallel, chosen
from whetstone.engine.strategies.run import Outcome
from whetstone.engine.strategies.spending import Spent
from whetstone.engine.strategies.stopping import agreement, further, thresholds, worst_loss
from whetstone.engine.strategies.strategy import Candidate, Draw, Question, Score, Steps, Strategy, draw
from whetstone.errors import UsageError


@dataclass(frozen=True)
class Calibrated:
    """A strategy whose threshold was chosen on questions kept for that, what they cost, and a line for the report."""

    strategy: Strategy
    spent: Spent
    says: str


Trial = Callable[[Strategy], Sequence[Outcome]]  # asks questions that are kept for it


@runtime_checkable
class Calibrates(Protocol):
    """A strategy that can choose its threshold on questions that nobody else is asked."""

    def calibrated(self, trial: Trial) -> Calibrated: ...


def waves(
    question: Question, backend: Backend, temperature: float, more: Callable[[Sequence[Candidate]], int]
) -> Generator[Draw | Score, Any, list[Candidate]]:
    """Samples, as long as `more` of those so far says how many to draw."""
    params = SamplingParams(question.room, temperature, backend.stop_ids)
    said: list[Candidate] = []
    while number := more(said):
        seeds = tuple(question.seed(member) for member in range(len(said), len(said) + number))
        drawn = yield from draw([backend.request(list(question.prompts[0]), seeds)], params)
        said += drawn[0]
    return said


def used_of(said: Sequence[Candidate], more: Callable[[Sequence[Candidate]], int]) -> int:
    """How many of these samples the vote would have drawn."""
    used = 0
    while used < len(said) and (number := more(said[:used])):
        used += number
    return used


@dataclass(frozen=True)
class Agreement:
    """At most `count` samples; the vote stops when nobody can overtake the leader any more, or when `agreement` reaches
    `threshold`. A wave has `wave` samples or more."""

    name: str
    count: int
    threshold: float
    temperature: float = 1.0
    wave: int = 1

    def more(self, said: Sequence[Candidate]) -> int:
        """How many samples to draw behind these."""
        number = further([each.answer for each in said], self.count, self.threshold)
        return min(max(number, self.wave), self.count - len(said)) if number else 0

    def solve(self, question: Question, backend: Backend) -> Steps:
        said = yield from waves(question, backend, self.temperature, self.more)
        answers = [each.answer for each in said]
        notes: dict[str, float | str] = {
            "samples": len(said),
            "agreement": agreement(answers),
            "loss_bound": worst_loss(self.count, self.threshold),
        }
        return replace(chosen(said, select("majority", answers)), notes=notes)


@dataclass(frozen=True)
class Allocation:
    """`mean` samples for a question on average, at most `most`: hard questions, on which samples disagree, get more.
    The rule is `Agreement`'s; its threshold is chosen so that questions kept for it have that mean."""

    name: str
    mean: int
    most: int
    temperature: float = 1.0

    def solve(self, question: Question, backend: Backend) -> Steps:
        raise UsageError(
            f"{self.name} must know which questions are hard: `whet scale` finds its threshold on questions kept for "
            f"that and prints it; then name it, as in {self.name}:threshold=0.97"
        )

    def calibrated(self, trial: Trial) -> Calibrated:
        """The highest threshold whose mean is not above the budget on the trial's questions."""
        tried = trial(Parallel(self.name, self.most, temperature=self.temperature))

        def used(threshold: float) -> float:
            return fmean(used_of(each.choice.of, self.rule(threshold).more) for each in tried)

        values = thresholds(self.most)
        low, high = 0, len(values) - 1
        while low < high:  # stricter thresholds never draw fewer
            middle = (low + high + 1) // 2
            low, high = (middle, high) if used(values[middle]) <= self.mean else (low, middle - 1)
        rule = self.rule(values[low])
        differing = sum(
            _majority(each.choice.of[: used_of(each.choice.of, rule.more)]) != each.choice.answer for each in tried
        )
        says = (
            f"{rule.name}: {used(values[low]):.2f} of {self.most} samples on average on {len(tried)} questions kept "
            f"for it, where {differing} answers are not those of all {self.most}"
        )
        return Calibrated(rule, sum((each.spent for each in tried), Spent()), says)

    def rule(self, threshold: float) -> Agreement:
        """What decides for a question alone."""
        return Agreement(with_threshold(self.name, threshold), self.most, threshold, self.temperature)


def with_threshold(name: str, threshold: float) -> str:
    """The name by which the calibrated strategy is made again, to the last digit."""
    return f"{name}{',' if ':' in name else ':'}threshold={threshold!r}"


def _majority(said: Sequence[Candidate]) -> str | None:
    place = select("majority", [each.answer for each in said])
    return None if place is None else said[place].answer
