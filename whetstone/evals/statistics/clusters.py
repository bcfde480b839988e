"""Which items share their luck: ids of clusters as numbers, and sums over clusters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Clusters = Sequence[Hashable | None]  # one id per item; "" means that the item stands on its own, as in `Problem`


def values_of(values: ArrayLike, what: str = "scores") -> Floats:
    """`values` as floats [N]; [N, K] (K samples of each item) becomes the items' means.

    The standard error of items' means already carries the noise of sampling: a mean of few samples scatters more. So
    samples of an item are averaged first, and never counted as items of their own. ValueError for no items, for more
    than two axes, and for a value that is not a finite number.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim not in (1, 2) or found.size == 0:
        raise ValueError(f"no {what} to compute with" if found.size == 0 else f"{what} must have one or two axes")
    if not np.isfinite(found).all():
        raise ValueError(f"{what} must be finite numbers")
    return found if found.ndim == 1 else found.mean(axis=1)


def cluster_codes(clusters: Clusters | None, n: int) -> tuple[Codes, int]:
    """Clusters of `n` items as numbers 0..C-1 in order of appearance, and C. Without clusters each item is its own.

    ValueError when there are not `n` ids, or when one is missing (None or nan): an item without its cluster would
    silently count as independent.
    """
    if clusters is None:
        return np.arange(n), n
    if len(clusters) != n:
        raise ValueError(f"{len(clusters)} cluster ids for {n} items")
    numbers: dict[Hashable, int] = {}
    codes = np.empty(n, dtype=np.int64)
    for place, cluster in enumerate(clusters):
        if cluster is None or cluster != cluster:
            raise ValueError(f"item {place} has no cluster id; an item that stands on its own has the id ''")
        codes[place] = numbers.setdefault(cluster if cluster != "" else ("", place), len(numbers))
    return codes, len(numbers)


def cluster_sums(values_NM: Floats, codes_N: Codes, count: int) -> Floats:
    """Sums of each column over the items of each cluster: [C, M]."""
    return np.stack([np.bincount(codes_N, column, minlength=count) for column in values_NM.T], axis=1)
