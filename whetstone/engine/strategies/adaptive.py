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
from whetstone.engine.strategies.stopping import MOST_SAMPLES, agreement, further, safe_threshold, worst_loss
from whetstone.engine.strategies.strategy import Candidate, Draw, Question, Score, Steps, Strategy, draw
from whetstone.errors import UsageError

FURTHEST = 4  # times the mean that a hard question may take


@dataclass(frozen=True)
class Calibrated:
    """A strategy whose setting was chosen on questions kept for that, what they cost, and a line for the report."""

    strategy: Strategy
    spent: Spent
    says: str


Trial = Callable[[Strategy], Sequence[Outcome]]  # asks questions that are kept for it


@runtime_checkable
class Calibrates(Protocol):
    """A strategy that can choose its setting on questions that nobody else is asked."""

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
    """`mean` samples for a question on average: those on which samples agree soon take fewer, and what they leave goes
    to the others. Each question is decided alone, by `Agreement` with the same cap; the cap is the highest that keeps
    the mean on questions kept for it."""

    name: str
    mean: int
    loss: float = 0.05
    temperature: float = 1.0

    def solve(self, question: Question, backend: Backend) -> Steps:
        example = with_option(self.name, f"most={2 * self.mean}")
        raise UsageError(
            f"{self.name} must know how many questions are hard: `whet scale` finds the most that one may take, on "
            f"questions kept for that, and prints it; then name it, as in {example}"
        )

    def calibrated(self, trial: Trial) -> Calibrated:
        """With the highest cap, up to FURTHEST times the mean, whose mean on the trial's questions is not above it."""
        furthest = min(FURTHEST * self.mean, MOST_SAMPLES)
        tried = trial(Parallel(self.name, furthest, temperature=self.temperature))

        def used(most: int) -> float:
            rule = self.rule(most)
            return fmean(used_of(each.choice.of[:most], rule.more) for each in tried)

        low, high = self.mean, furthest  # a vote of `mean` samples never takes more
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if used(middle) <= self.mean else (low, middle - 1)
        says = (
            f"{self.rule(low).name}: {used(low):.2f} samples on average on {len(tried)} questions kept for it, "
            f"at most {low} for one"
        )
        return Calibrated(self.rule(low), sum((each.spent for each in tried), Spent()), says)

    def rule(self, most: int) -> Agreement:
        """What decides for a question alone. Raises UsageError beyond MOST_SAMPLES."""
        name = with_option(self.name, f"most={most}")
        return Agreement(name, most, safe_threshold(most, self.loss), self.temperature)


def with_option(name: str, option: str) -> str:
    """The name of a strategy with one more option: by it the calibrated strategy is made again."""
    return f"{name}{',' if ':' in name else ':'}{option}"
