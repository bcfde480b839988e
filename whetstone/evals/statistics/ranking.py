"""Does a score put right answers above wrong ones? The area under the ROC curve, overall and within problems."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from whetstone.evals.statistics.clusters import Clusters, Floats, cluster_codes
from whetstone.evals.statistics.intervals import Interval, percentile_interval
from whetstone.evals.statistics.resampling import RESAMPLES, bootstrap_sums


def auc(scores: ArrayLike, right: ArrayLike) -> float:
    """P(score of a right answer > score of a wrong one) + P(equal) / 2, by ranks (Mann and Whitney 1947).

    ValueError unless there are right and wrong answers."""
    scores_N, right_N = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=bool)
    good = int(right_N.sum())
    bad = len(right_N) - good
    if good == 0 or bad == 0:
        raise ValueError("the area needs right and wrong answers")
    return float((rankdata(scores_N)[right_N].sum() - good * (good + 1) / 2) / (good * bad))


def auc_by_problem(scores: ArrayLike, right: ArrayLike, problems: Sequence[Hashable]) -> dict[Hashable, float]:
    """The area within each problem that has right and wrong answers: what choosing among its answers can use. An order
    that only tells easy problems from hard ones gives 1/2 here."""
    scores_N, right_N = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=bool)
    places: dict[Hashable, list[int]] = {}
    for place, problem in enumerate(problems):
        places.setdefault(problem, []).append(place)
    return {
        problem: auc(scores_N[here], right_N[here])
        for problem, here in places.items()
        if 0 < right_N[here].sum() < len(here)
    }


def auc_overall(
    scores: ArrayLike, right: ArrayLike, clusters: Clusters, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The area over all answers, whatever they answer, with a bootstrap of whole clusters (problems). Resamples without
    right or without wrong answers are left out. ValueError as in `auc`."""
    scores_N, right_N = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=bool)
    area = auc(scores_N, right_N)
    codes_N, count = cluster_codes(clusters, len(scores_N))
    wins_CC = np.zeros((count, count))  # [of right answers, of wrong ones]: pairs in the right order, equal ones half
    order = np.argsort(scores_N[~right_N], kind="stable")
    wrong_scores, wrong_codes = scores_N[~right_N][order], codes_N[~right_N][order]
    for score, code in zip(scores_N[right_N], codes_N[right_N], strict=True):
        below, upto = np.searchsorted(wrong_scores, score, "left"), np.searchsorted(wrong_scores, score, "right")
        wins_CC[code] += 0.5 * (
            np.bincount(wrong_codes[:below], minlength=count) + np.bincount(wrong_codes[:upto], minlength=count)
        )
    good_C, bad_C = (np.bincount(codes_N[mask], minlength=count).astype(np.float64) for mask in (right_N, ~right_N))
    drawn_BC = bootstrap_sums(np.eye(count), resamples, seed)  # how often each cluster was drawn
    pairs_B = (drawn_BC @ good_C) * (drawn_BC @ bad_C)
    wins_B: Floats = ((drawn_BC @ wins_CC) * drawn_BC).sum(axis=1)
    areas_B = wins_B[pairs_B > 0] / pairs_B[pairs_B > 0]
    return percentile_interval(areas_B, area, len(scores_N))
