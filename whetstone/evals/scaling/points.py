"""One point of a curve: a method at a budget, with what it got right and what it spent, problem by problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np

from whetstone.engine.prices import Hourly, PriceTable
from whetstone.engine.remote.usage import Prices
from whetstone.engine.strategies.spending import Spent
from whetstone.evals.statistics.clusters import Floats

FIELDS = tuple(each.name for each in fields(Spent))
COSTS = ("tokens", "seconds", "flops", "usd")  # what a page draws accuracy against
DIGITS = 6  # significant ones of what is stored; every statistic is computed from the stored values

Kind = Literal["method", "oracle", "control"]
How = Literal["expectation", "run"]


@dataclass(frozen=True)
class Point:
    """`method` names the curve, `name` the strategy in full (consistency-8), `budget` what was asked for.

    kind: an honest "method"; an "oracle", which knows the answers; a "control", which shows what luck does. how:
    "expectation" over all subsets of a pool, or one "run". right_N: 0..1 for each problem. spent_NF: columns `FIELDS`.
    usd_N: None where no price is known. failures: completions of one question that never came, by kind.
    """

    method: str
    name: str
    budget: int
    kind: Kind
    how: How
    right_N: Floats
    spent_NF: Floats
    usd_N: Floats | None = None
    failures: Mapping[str, float] = field(default_factory=dict)

    def of(self, cost: str) -> Floats | None:
        """A cost [N]: one of `COSTS`, or of `Spent`'s fields. None: nobody knows it."""
        if cost == "usd":
            return self.usd_N
        if cost == "tokens":
            columns = [FIELDS.index(name) for name in ("prompt_tokens", "written_tokens", "verifier_tokens")]
            found: Floats = self.spent_NF[:, columns].sum(axis=1)
            return found
        values_N: Floats = self.spent_NF[:, FIELDS.index(cost)]
        return None if cost == "flops" and not values_N.any() else values_N

    def mean(self, cost: str) -> float | None:
        """A question's mean cost."""
        values_N = self.of(cost)
        return None if values_N is None else float(values_N.mean())

    @property
    def accuracy(self) -> float:
        return float(self.right_N.mean())

    def rows(self) -> dict[str, list[float]]:
        """What was measured of each problem, as JSON carries it: `right`, and the fields of `Spent` that are not 0."""
        told = {"right": self.right_N.tolist()}
        for place, name in enumerate(FIELDS):
            if self.spent_NF[:, place].any():
                told[name] = self.spent_NF[:, place].tolist()
        return told if self.usd_N is None else told | {"usd": self.usd_N.tolist()}

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Point:
        """A point of scale.json."""
        values = row["per_problem"]
        n = len(values["right"])
        spent_NF = np.array([values.get(name, [0.0] * n) for name in FIELDS], dtype=np.float64).T
        usd_N = np.array(values["usd"], dtype=np.float64) if "usd" in values else None
        right_N = np.array(values["right"], dtype=np.float64)
        return cls(
            row["method"],
            row["name"],
            row["budget"],
            row["kind"],
            row["how"],
            right_N,
            spent_NF,
            usd_N,
            row["failures"],
        )


def rounded(values: Floats) -> Floats:
    """To `DIGITS` significant digits, so that a file holds exactly what was computed with."""
    return np.array([float(f"{value:.{DIGITS}g}") for value in values.ravel()]).reshape(values.shape)


def spent_matrix(spent: Sequence[Spent]) -> Floats:
    """[N, F] of what was spent on each question."""
    return np.array([[getattr(one, name) for name in FIELDS] for one in spent], dtype=np.float64)


def dollars(spent_NF: Floats, price: Prices | Hourly | None) -> Floats | None:
    """[N], what `PriceTable.usd` says of each row; None without a price."""
    if price is None:
        return None
    table = PriceTable({"it": price})
    unit = np.eye(len(FIELDS))
    # linear in every field: one dollar amount per unit of each
    per_F = np.array([table.usd("it", Spent(**dict(zip(FIELDS, row, strict=True)))) for row in unit], dtype=np.float64)
    return spent_NF @ per_F


def finished(
    method: str,
    name: str,
    budget: int,
    kind: Kind,
    how: How,
    right_N: Floats,
    spent_NF: Floats,
    price: Prices | Hourly | None,
    failures: Mapping[str, float],
) -> Point:
    """A point whose values are those that a file will hold, its money by `price`."""
    spent_NF = rounded(spent_NF)
    usd_N = dollars(spent_NF, price)
    usd_N = None if usd_N is None else rounded(usd_N)
    return Point(method, name, budget, kind, how, rounded(right_N), spent_NF, usd_N, dict(failures))
