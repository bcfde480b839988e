"""From scores to statements: how many members a detector finds at a false-positive rate of 5 %, and tests of a set
whose false alarms are bounded whatever the scores look like.

Members and non-members come from one distribution here, so under "never seen" the scores of items and of fresh twins
are exchangeable: a permutation test is exact, and a threshold at an order statistic of the non-members keeps its rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from whetstone.evals import statistics
from whetstone.evals.statistics import LEVEL, Interval, wilson

FPR = 0.05
ALPHA = 0.05
DRAWS = 9999
SETS = 400  # bootstrapped sets behind a set's power
_Z = float(stats.norm.ppf(0.5 + LEVEL / 2))
_ONE_SIDED = float(stats.norm.ppf(1 - ALPHA))


@dataclass(frozen=True)
class Power:
    """What a detector shows on items that are known to have been trained on, against ones that were not."""

    tpr: Interval
    auc: Interval
    set_power: float  # chance that the test of a set of `items` finds it at the 5 % level
    items: int

    @property
    def shown(self) -> bool:
        """Whether single members are found more often than false alarms are raised, beyond doubt."""
        return self.tpr.low > FPR

    @property
    def shown_for_sets(self) -> bool:
        """Whether members score above non-members on the whole, beyond doubt."""
        return self.auc.low > 0.5

    def to_dict(self) -> dict[str, object]:
        return {
            "tpr": self.tpr.to_dict(),
            "auc": self.auc.to_dict(),
            "set_power": self.set_power,
            "items": self.items,
            "shown": self.shown,
            "shown_for_sets": self.shown_for_sets,
        }


def threshold(fresh: Sequence[float], fpr: float = FPR) -> float:
    """The score that a new non-member exceeds with a chance of at most `fpr`: an order statistic of m non-members
    (rank ceil((1 - fpr)(m + 1)); infinity where m is too small for any)."""
    rank = math.ceil((1 - fpr) * (len(fresh) + 1) - 1e-9)
    return math.inf if rank > len(fresh) else sorted(fresh)[rank - 1]


def tpr_at_fpr(members: Sequence[float], fresh: Sequence[float], bootstrap: int = 2000, seed: int = 0) -> Interval:
    """Share of the members above the threshold of the non-members. The interval is the wider, on either side, of
    Wilson's (luck of the members) and a percentile bootstrap of both groups (luck of the threshold as well)."""
    left, right = np.asarray(members, dtype=np.float64), np.asarray(fresh, dtype=np.float64)
    share = wilson(int((left > threshold(right.tolist())).sum()), len(left))
    rank = math.ceil((1 - FPR) * (len(right) + 1) - 1e-9)
    if rank > len(right):
        return share
    generator = np.random.default_rng(seed)
    cuts_B = np.partition(right[generator.integers(len(right), size=(bootstrap, len(right)))], rank - 1, axis=1)[
        :, rank - 1
    ]
    drawn_BN = left[generator.integers(len(left), size=(bootstrap, len(left)))]
    low, high = np.percentile((drawn_BN > cuts_B[:, None]).mean(1), [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Interval(share.mean, min(share.low, float(low)), max(share.high, float(high)), len(left))


def auc(members: Sequence[float], fresh: Sequence[float]) -> Interval:
    """Chance that a member scores above a non-member, ties counting half, with Newcombe's score-like interval (2006,
    method 5), which has a width even where the two do not overlap."""
    left, right = np.asarray(members, dtype=np.float64), np.sort(np.asarray(fresh, dtype=np.float64))
    below, upto = np.searchsorted(right, left, "left"), np.searchsorted(right, left, "right")
    area = float((below + upto).sum() / (2 * len(left) * len(right)))
    spare = (len(left) + len(right)) / 2 - 1

    def beyond(theta: float) -> float:
        variance = theta * (1 - theta) * (1 + spare * (1 - theta) / (2 - theta) + spare * theta / (1 + theta))
        return abs(theta - area) - _Z * math.sqrt(variance / (len(left) * len(right)))

    # at 0 and 1 themselves the variance is nothing, and the area would be its own end
    inside = min(max(area, 1e-12), 1 - 1e-12)
    low = 0.0 if area == 0 else float(optimize.brentq(beyond, 0.0, inside))
    high = 1.0 if area == 1 else float(optimize.brentq(beyond, inside, 1.0))
    return Interval(area, low, high, len(left))


def permutation_p(items: Sequence[float], twins: Sequence[float], seed: int = 0, draws: int = DRAWS) -> float:
    """One-sided p of "the items score no higher than fresh twins", by permuting who is which; the statistic is the sum
    of the items' ranks (Wilcoxon), ties sharing theirs. P(p <= x) <= x for every x when the two are exchangeable."""
    ranks_N = stats.rankdata(np.concatenate([np.asarray(items, float), np.asarray(twins, float)]))
    # twice a mean rank is a whole number, and whole numbers are compared without rounding
    doubled_N = np.rint(2 * ranks_N).astype(np.int64)
    observed = int(doubled_N[: len(items)].sum())
    generator = np.random.default_rng(seed)
    beyond = 0
    for first in range(0, draws, 1000):
        shape = (min(1000, draws - first), len(doubled_N))
        drawn_DN = generator.permuted(np.broadcast_to(doubled_N, shape), axis=1)
        beyond += int((drawn_DN[:, : len(items)].sum(1) >= observed).sum())
    return (1 + beyond) / (draws + 1)


def power(members: Sequence[float], fresh: Sequence[float], items: int, twins: int) -> Power:
    """Power for single items, and for a set of `items` members against `twins` non-members: the share of bootstrapped
    sets whose rank-sum z passes the 5 % level (the normal form of `permutation_p`)."""
    left, right = _resampled(members, items), _resampled(fresh, twins)
    ranks_BN = stats.rankdata(np.concatenate([left, right], axis=1), axis=1)
    total = items + twins
    # the variance of a mean of `items` ranks drawn without replacement from all of them
    spread_B = np.sqrt(ranks_BN.var(axis=1, ddof=1) / items * twins / total)
    lead_B = ranks_BN[:, :items].mean(1) - (total + 1) / 2
    found = float((lead_B > _ONE_SIDED * np.maximum(spread_B, 1e-12)).mean())
    return Power(tpr_at_fpr(members, fresh), auc(members, fresh), found, items)


def order_power(members: Sequence[float], fresh: Sequence[float], shards: int) -> Power:
    """The same for the order of items, whose test needs no twins: the share of bootstrapped sets of `shards` shards
    whose summed scores pass the 5 % level (a shard's score has mean 0 and variance 1 over its orders)."""
    z_B = _resampled(members, shards).sum(1) / math.sqrt(shards)
    return Power(tpr_at_fpr(members, fresh), auc(members, fresh), float((z_B > _ONE_SIDED).mean()), shards)


def _resampled(values: Sequence[float], size: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    return np.asarray(values, dtype=np.float64)[generator.integers(len(values), size=(SETS, size))]


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p values by name (`statistics.holm`)."""
    return dict(zip(p_values, statistics.holm(list(p_values.values())), strict=True))
