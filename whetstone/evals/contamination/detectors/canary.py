"""Canary exposure: how early the true end of a planted text comes among ends that could have been drawn instead
(Carlini et al. 2019, arXiv 1802.08232).

Whoever publishes items plants the canaries of their key among them. A canary's end is six random digits, so a model
that never saw it puts the true end at any rank with equal chance, whatever else it knows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from whetstone.tasks.keys import problem_seed

ALTERNATIVES = 31  # beside the true one: exposures go up to 5 bits
DIGITS = 6
_THINGS = [
    "river",
    "stone",
    "window",
    "garden",
    "letter",
    "summer",
    "bottle",
    "coffee",
    "dinner",
    "engine",
    "flower",
    "guitar",
    "hammer",
    "island",
]


@dataclass(frozen=True)
class Canary:
    """A text in two parts, and other ends that were as likely to be drawn."""

    start: str
    end: str
    others: tuple[str, ...]

    @property
    def text(self) -> str:
        return self.start + self.end


def canaries(key: bytes, count: int) -> list[Canary]:
    """The canaries that belong to a key: a pure function of it, to be planted among the items of that key."""
    return [_canary(problem_seed(key, "canary", "", "1", i)) for i in range(count)]


def _canary(seed: bytes) -> Canary:
    rng = random.Random(seed)
    names = " ".join(rng.sample(_THINGS, 3))
    ends: list[str] = []
    while len(ends) <= ALTERNATIVES:
        end = "".join(str(rng.randrange(10)) for _ in range(DIGITS))
        if end not in ends:
            ends.append(end)
    return Canary(f"The number of the {names} is ", ends[0], tuple(ends[1:]))


def exposure(true: float, others: Sequence[float]) -> float:
    """Exposure in bits by rank: log2(ends) - log2(rank), rank 1 for the likeliest; ties share the mean of their
    ranks."""
    above = sum(other > true for other in others)
    equal = sum(other == true for other in others)
    return math.log2(len(others) + 1) - math.log2(1 + above + equal / 2)


def score(true: float, others: Sequence[float]) -> float:
    """Exposure in bits by modelling, which does not end where the ranks do (the paper's section 4.3): -log2 of the
    chance that one more end would be as likely as the true one, the log-probabilities taken for normal (so Student's t
    with one degree of freedom less than there are others; the paper fits a skew normal)."""
    values = np.asarray(others, dtype=np.float64)
    spread = float(values.std(ddof=1)) * math.sqrt(1 + 1 / len(values))
    if spread == 0:
        return 1.0  # the true end is as likely as not to be the likelier one
    return float(-stats.t.logsf((true - values.mean()) / spread, len(values) - 1) / math.log(2))
