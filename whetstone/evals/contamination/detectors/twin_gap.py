"""Twin gap: right answers to the items against right answers to fresh twins, less what clean reference models show on
the same items (the idea of ConStat, Dekoninck et al. 2024, arXiv 2405.16281)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from whetstone.evals.statistics import LEVEL, Interval


def score(right: int, reference_right: Sequence[int] = ()) -> float:
    """One item: 1 or 0 for the model, less the share of the reference models that are right (0 without any)."""
    return right - (sum(reference_right) / len(reference_right) if reference_right else 0.0)


def gap(items: Sequence[float], twins: Sequence[float]) -> Interval:
    """Mean score of the items less that of the twins, with Welch's interval; n counts the items."""
    left, right = np.asarray(items, dtype=np.float64), np.asarray(twins, dtype=np.float64)
    mean = float(left.mean() - right.mean())
    if min(len(left), len(right)) < 2:
        return Interval(mean, -1.0, 1.0, len(left))
    # one score of either kind more, so that all alike does not mean no doubt
    error = [
        float(np.append(side, [side.min() - 0.5, side.max() + 0.5]).var(ddof=1)) / len(side) for side in (left, right)
    ]
    freedom = sum(error) ** 2 / sum(e * e / (len(side) - 1) for e, side in zip(error, (left, right), strict=True))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, freedom)) * sum(error) ** 0.5
    return Interval(mean, mean - half, mean + half, len(left))
