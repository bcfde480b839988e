"""Choosing by scores: how often the best of k, or a vote weighted by scores, would be right, from n that were drawn."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from itertools import combinations

import numpy as np

from whetstone.evals.statistics.clusters import Floats

SUBSETS = 512  # drawn for each problem where there is no closed form


def best_of_k(scores: Sequence[float], right: Sequence[float], k: int, silent: Sequence[bool] | None = None) -> float:
    """Chance that the answer with the highest of `k` scores is right; ties go to each of the tied with equal chance.

    The mean over all C(n, k) subsets of the n answers, exact and unbiased: of the subsets of answers that score at most
    s, those are won at s that are not all below it. `silent`: answers that say nothing and are never chosen; a subset
    of such only counts as wrong. `right`: 1 or 0 (or a share) for each.

    ValueError unless 1 <= k <= n, there is a number for each answer, and no score is nan.
    """
    n = len(scores)
    if not 1 <= k <= n or len(right) != n or (silent is not None and len(silent) != n):
        raise ValueError(f"best-of-{k} needs a score and a verdict for each of {k} answers or more, not {n}")
    scores_N, right_N = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.float64)
    speaks_N = np.ones(n, dtype=bool) if silent is None else ~np.asarray(silent, dtype=bool)
    if np.isnan(scores_N[speaks_N]).any():
        raise ValueError("a score that is no number cannot be compared")
    values_G, place_N = np.unique(scores_N[speaks_N], return_inverse=True)
    counts_G = np.bincount(place_N, minlength=len(values_G))
    mean_right_G = np.bincount(place_N, right_N[speaks_N], minlength=len(values_G)) / np.maximum(counts_G, 1)
    below = n - int(speaks_N.sum())
    chance, none_yet = 0.0, _share(below, n, k)
    for count, share_right in zip(counts_G, mean_right_G, strict=True):
        below += int(count)
        up_to_here = _share(below, n, k)
        chance += float(share_right) * (up_to_here - none_yet)
        none_yet = up_to_here
    return min(1.0, chance)


def random_of_k(right: Sequence[float], k: int, silent: Sequence[bool] | None = None) -> float:
    """`best_of_k` with scores that say nothing: its mean over all ways to shuffle the scores among the answers.

    What a best-of-k gains over this was in the scores; what this gains over one sample comes from preferring an answer
    to silence.
    """
    return best_of_k([0.0] * len(right), right, k, silent)


def _share(some: int, n: int, k: int) -> float:
    """C(some, k) / C(n, k)."""
    return math.prod((some - i) / (n - i) for i in range(k)) if some >= k else 0.0


def weighted_at_k(
    answers: Sequence[Hashable | None], scores: Sequence[float], right: Sequence[float], k: int, seed: int = 0
) -> float:
    """Chance that a vote over `k` answers, each weighted by its score, is right; None is silence and does not vote.

    Sums of weights have no closed form: the mean over all subsets where these are at most `SUBSETS`, else over so many
    drawn with `seed` (the same for equal n and k). Whoever stands for an answer is as likely right as the answer's
    texts are; of tied answers the one that came first wins, which is as likely as it has votes.

    ValueError as in `best_of_k`.
    """
    n = len(answers)
    if not 1 <= k <= n or len(scores) != n or len(right) != n:
        raise ValueError(f"a weighted vote of {k} needs a score and a verdict for each of {k} answers or more, not {n}")
    names = {answer: place for place, answer in enumerate(dict.fromkeys(a for a in answers if a is not None))}
    if not names:
        return 0.0
    weights_NA, counts_NA = np.zeros((n, len(names))), np.zeros((n, len(names)))
    right_A = np.zeros(len(names))
    for place, answer in enumerate(answers):
        if answer is not None:
            weights_NA[place, names[answer]] = scores[place]
            counts_NA[place, names[answer]] = 1.0
            right_A[names[answer]] += right[place]
    right_A /= counts_NA.sum(axis=0)
    chosen_BN = subsets(n, k, seed)
    votes_BA = chosen_BN @ counts_NA
    totals_BA = np.where(votes_BA > 0, chosen_BN @ weights_NA, -np.inf)
    most_B1 = totals_BA.max(axis=1, keepdims=True)
    slack_B1 = 1e-12 * np.maximum(1.0, np.abs(np.where(np.isfinite(most_B1), most_B1, 0.0)))
    wins_BA = np.where(totals_BA >= most_B1 - slack_B1, votes_BA, 0.0)
    return float(((wins_BA @ right_A) / np.maximum(wins_BA.sum(axis=1), 1)).mean())


def subsets(n: int, k: int, seed: int = 0) -> Floats:
    """[B, n] of 0 and 1: all subsets of size k, or `SUBSETS` drawn ones where there are more."""
    if math.comb(n, k) <= SUBSETS:
        every = list(combinations(range(n), k))
        chosen_BN = np.zeros((len(every), n))
        np.put_along_axis(chosen_BN, np.array(every), 1.0, axis=1)
        return chosen_BN
    order_BN = np.random.default_rng((seed, n, k)).random((SUBSETS, n)).argsort(axis=1)
    chosen_BN = np.zeros((SUBSETS, n))
    np.put_along_axis(chosen_BN, order_BN[:, :k], 1.0, axis=1)
    return chosen_BN
