"""What every option did with every question, and what a rule would have made of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from whetstone.engine.routing.policy import Cascade, Classifier, Floats, Rule

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """N questions, O options: right_NO (0 or 1), sure_NO (confidence), cost_NO in one unit. seen: for each kind of
    `Features` the questions' features [N, D] and what computing them costs [N]. clusters: as `Problem.cluster`."""

    right_NO: Floats
    sure_NO: Floats
    cost_NO: Floats
    seen: Mapping[str, tuple[Floats, Floats]] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.right_NO)

    @property
    def by_cost(self) -> list[int]:
        """The options, the cheapest first."""
        return [int(place) for place in np.argsort(self.cost_NO.mean(axis=0), kind="stable")]


@dataclass(frozen=True)
class Played:
    """A rule on a table: right_N, cost_N, and which option answered, option_N."""

    right_N: Floats
    cost_N: Floats
    option_N: Ints

    @property
    def accuracy(self) -> float:
        return float(self.right_N.mean())

    @property
    def cost(self) -> float:
        return float(self.cost_N.mean())


def play(rule: Rule, table: Table) -> Played:
    """What the rule answers and pays: a cascade pays for all it asked, a classifier for reading the question."""
    rows = np.arange(len(table))
    if isinstance(rule, Classifier):
        features_ND, reading_N = table.seen[rule.features.kind]
        chosen_N = rule.choose(features_ND)
        cost_N = table.cost_NO[rows, chosen_N] + reading_N
    else:
        chosen_N, cost_N = _fall(rule, table)
    return Played(table.right_NO[rows, chosen_N], cost_N, chosen_N)


def _fall(rule: Cascade, table: Table) -> tuple[Ints, Floats]:
    chosen_N = np.full(len(table), rule.order[-1], dtype=np.int64)
    going_N = np.ones(len(table), dtype=bool)
    cost_N = np.zeros(len(table))
    for place, option in enumerate(rule.order):
        cost_N += np.where(going_N, table.cost_NO[:, option], 0.0)
        if place < len(rule.thresholds):
            taken_N = going_N & (table.sure_NO[:, option] >= rule.thresholds[place])
            chosen_N[taken_N] = option
            going_N &= ~taken_N
    return chosen_N, cost_N


@dataclass(frozen=True)
class Ruled:
    """A rule with what it does on the problems that it was calibrated on."""

    rule: Rule
    accuracy: float
    cost: float


def front(ruled: Sequence[Ruled]) -> list[Ruled]:
    """Those that no other beats in both cost and accuracy, the cheapest first; of equal ones the first given."""
    ordered = sorted(ruled, key=lambda each: (each.cost, -each.accuracy))
    found: list[Ruled] = []
    for each in ordered:
        if not found or each.accuracy > found[-1].accuracy:
            found.append(each)
    return found


def ruled(rule: Rule, table: Table) -> Ruled:
    """The rule on this table."""
    played = play(rule, table)
    return Ruled(rule, played.accuracy, played.cost)
