"""The bootstrap that everything here uses: sums over units (items or clusters) drawn with replacement.

Each bootstrapped statistic (mean, pass@k, rank, calibration error) is a function of sums over units, so a resample is a
vector of counts and all resamples are one matrix product.
"""

from __future__ import annotations

import numpy as np

from whetstone.evals.statistics.clusters import Clusters, Floats, cluster_codes, cluster_sums

RESAMPLES = 2000
_LARGEST = (
    1 << 16
)  # counts that are held at a time: few enough for a processor's cache, which makes it five times faster


def bootstrap_sums(units_CM: Floats, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Column sums [B, M] over C units drawn with replacement, B = `resamples` times.

    The draws depend on `seed` and C alone: whatever is computed over the same units has common luck. ValueError for
    no units or no resamples.
    """
    count = len(units_CM)
    if count == 0 or resamples < 1:
        raise ValueError(f"cannot draw {resamples} resamples of {count} units")
    generator = np.random.default_rng(seed)
    sums_BM = np.empty((resamples, units_CM.shape[1]))
    rows = max(1, _LARGEST // count)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        places = generator.integers(0, count, size=(size, count)) + count * np.arange(size)[:, None]
        counts = np.bincount(places.ravel(), minlength=size * count).reshape(size, count)
        sums_BM[start : start + size] = counts.astype(np.float64) @ units_CM
    return sums_BM


def bootstrap_means(
    values_NM: Floats, clusters: Clusters | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """Means over items of each column [B, M] when whole clusters are drawn with replacement; without clusters, items.

    A resample holds as many clusters as there are, but not always as many items: the mean is a ratio of two sums.
    """
    codes_N, count = cluster_codes(clusters, len(values_NM))
    columns_NM = np.column_stack([values_NM, np.ones(len(values_NM))])
    sums_BM = bootstrap_sums(cluster_sums(columns_NM, codes_N, count), resamples, seed)
    means: Floats = sums_BM[:, :-1] / sums_BM[:, -1:]
    return means
