"""Ranks of entrants over common items, with the uncertainty that a leaderboard should show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from whetstone.evals.statistics.clusters import Clusters, Floats, values_of
from whetstone.evals.statistics.intervals import LEVEL, accuracy_interval
from whetstone.evals.statistics.resampling import RESAMPLES, bootstrap_means

_EQUAL = 1e-12  # means that differ by less differ by rounding


def rank_intervals(
    scores: Mapping[str, ArrayLike], clusters: Clusters | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> list[dict[str, Any]]:
    """Entrants by rank, each {name, mean, low, high, n, rank, rank_low, rank_high}; 1 is best.

    scores: for each entrant its scores in 0..1 of the same items in the same order. Items (or whole clusters) are
    drawn with replacement, the same ones for all entrants, so common luck cancels. A rank with ties is a range: from
    1 + those strictly better to those at least as good. [rank_low, rank_high] holds that whole range in the middle 95 %
    of resamples; `rank` is the range's best end, so equal entrants share it. ValueError for no entrants, scores of
    different lengths or outside 0..1.
    """
    if not scores:
        raise ValueError("no entrants to rank")
    columns = [values_of(each) for each in scores.values()]
    if len({len(column) for column in columns}) > 1:
        raise ValueError("entrants must have scores of the same items")
    values_NE = np.column_stack(columns)
    best_BE, worst_BE = _ranks(bootstrap_means(values_NE, clusters, resamples, seed))
    tail = (1 - LEVEL) / 2
    low_E = np.quantile(best_BE, tail, axis=0, method="inverted_cdf")
    high_E = np.quantile(worst_BE, 1 - tail, axis=0, method="inverted_cdf")
    rank_E, last_E = (each[0] for each in _ranks(values_NE.mean(axis=0)[None]))
    found = [
        {
            "name": name,
            **accuracy_interval(values_NE[:, place], clusters).to_dict(),
            "rank": int(rank_E[place]),
            "rank_low": int(min(low_E[place], rank_E[place])),
            "rank_high": int(max(high_E[place], last_E[place])),
        }
        for place, name in enumerate(scores)
    ]
    return sorted(found, key=lambda row: row["rank"])


def _ranks(means_BE: Floats) -> tuple[Floats, Floats]:
    """The best and the worst rank of each entrant that ties allow, in each row of means."""
    best_BE, worst_BE = np.empty_like(means_BE), np.empty_like(means_BE)
    for entrant in range(means_BE.shape[1]):
        ahead_BE = means_BE - means_BE[:, entrant, None]
        best_BE[:, entrant] = 1 + (ahead_BE > _EQUAL).sum(axis=1)
        worst_BE[:, entrant] = (ahead_BE >= -_EQUAL).sum(axis=1)
    return best_BE, worst_BE
