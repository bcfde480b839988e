"""Several answers to an item, several trainings of a model: pass@k, pass^k, and luck of the seed apart from items."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from whetstone.evals.statistics.clusters import Clusters, Floats
from whetstone.evals.statistics.intervals import accuracy_interval, percentile_interval, t_quantile
from whetstone.evals.statistics.resampling import RESAMPLES, bootstrap_means

Row = dict[str, float | int]


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that at least one of `k` answers is right, from `c` right among `n` drawn.

    1 - C(n-c, k) / C(n, k), unbiased (Chen et al. 2021, "Evaluating Large Language Models Trained on Code",
    eq. 1). ValueError unless 0 <= c <= n and 1 <= k <= n: from n answers nothing unbiased can be said about
    more than n tries.
    """
    _check("pass@", n, c, k)
    if n - c < k:
        return 1.0
    return 1.0 - math.prod((n - c - i) / (n - i) for i in range(k))


def pass_hat_k(n: int, c: int, k: int) -> float:
    """pass^k, the chance that all of `k` answers are right, from `c` right among `n` drawn.

    C(c, k) / C(n, k), unbiased (Yao et al. 2024, tau-bench). ValueError unless 0 <= c <= n and 1 <= k <= n.
    """
    _check("pass^", n, c, k)
    if c < k:
        return 0.0
    return math.prod((c - i) / (n - i) for i in range(k))


def _check(what: str, n: int, c: int, k: int) -> None:
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"{what}{k} cannot be estimated from {c} right of {n}")


def pass_at_k_curve(
    counts: Sequence[tuple[int, int]],
    ks: Iterable[int],
    resamples: int = RESAMPLES,
    seed: int = 0,
    clusters: Clusters | None = None,
) -> list[Row]:
    """Mean pass@k over problems with a 95 % band, one {k, mean, low, high, n} for each k; n counts problems.

    `counts`: (answers drawn, answers right) per problem. The band is a percentile bootstrap over problems (over
    whole clusters where given), the same resamples for every k and, with equal `seed` and number of problems, for
    every model: two curves on one set of problems are drawn with common luck. Where all values are 0 or 1 (k = n, or
    everything solved) a bootstrap is too narrow or has no width, and the band is `accuracy_interval`'s. ValueError
    for no problems.
    """
    return _curve(pass_at_k, counts, ks, resamples, seed, clusters)


def pass_hat_k_curve(
    counts: Sequence[tuple[int, int]],
    ks: Iterable[int],
    resamples: int = RESAMPLES,
    seed: int = 0,
    clusters: Clusters | None = None,
) -> list[Row]:
    """The same for pass^k: how reliable the model is when every one of k answers has to be right."""
    return _curve(pass_hat_k, counts, ks, resamples, seed, clusters)


def _curve(
    chance: Callable[[int, int, int], float],
    counts: Sequence[tuple[int, int]],
    ks: Iterable[int],
    resamples: int,
    seed: int,
    clusters: Clusters | None,
) -> list[Row]:
    if not counts:
        raise ValueError("no problems to compute pass@k from")
    ks = list(ks)
    kinds = {kind: place for place, kind in enumerate(dict.fromkeys(counts))}  # few (n, c) occur, each computed once
    values_TK = np.array([[chance(n, c, k) for k in ks] for n, c in kinds])
    return bands(values_TK[[kinds[kind] for kind in counts]], ks, resamples, seed, clusters)


def bands(values_NK: Floats, ks: Sequence[int], resamples: int, seed: int, clusters: Clusters | None) -> list[Row]:
    """Column means over problems, each with its bootstrapped band: one row per k."""
    means_BK = bootstrap_means(values_NK, clusters, resamples, seed)
    curve: list[Row] = []
    for place, k in enumerate(ks):
        values_N = values_NK[:, place]
        if bool(np.isin(values_N, (0.0, 1.0)).all()):
            band = accuracy_interval(values_N, clusters)
        else:
            band = percentile_interval(means_BK[:, place], float(values_N.mean()), len(values_N))
        curve.append({"k": k, **band.to_dict()})
    return curve


@dataclass(frozen=True)
class SeedSpread:
    """Accuracy over S trainings that differ in the seed alone, measured on the same N items.

    `mean` with `low` and `high` over seeds (None for one seed), `seed_sd` the standard deviation between trainings
    with the noise of items taken out, `noise_sd` what item noise alone would make of a training's accuracy on these
    items, `item_se` the standard error that comes from the choice of items, `p` whether the seeds differ at all (F
    test), `label` "single seed" or "5 seeds".
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    seeds: int
    seed_sd: float | None
    noise_sd: float | None
    item_se: float
    p: float | None
    label: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def seed_spread(scores: ArrayLike) -> SeedSpread:
    """Luck of the training seed apart from luck of the items. scores: [S, N], S trainings on the same N items.

    Two-way random effects without replication: score = mean + seed + item + rest, by analysis of variance (Searle,
    Casella and McCulloch 1992). Var(seed) = (MS_seed - MS_rest) / N, cut at 0; the rest is item-by-seed luck,
    sampling included. The interval is mean +- t_{S-1} sd(seed means) / sqrt(S): it speaks of other seeds of this
    recipe on *these* items. Differences after - before serve as well as scores.

    With one seed nothing about seeds can be said: low, high, seed_sd and p are None and the label is "single seed".
    ValueError unless there are at least one training and two items.
    """
    scores_SN = np.asarray(scores, dtype=np.float64)
    if scores_SN.ndim != 2 or scores_SN.shape[0] < 1 or scores_SN.shape[1] < 2 or not np.isfinite(scores_SN).all():
        raise ValueError("scores must be finite, one row for each training and a column for each of two or more items")
    seeds, n = scores_SN.shape
    mean, item_means_N = float(scores_SN.mean()), scores_SN.mean(axis=0)
    item_se = float(item_means_N.std(ddof=1) / math.sqrt(n))
    if seeds == 1:
        return SeedSpread(mean, None, None, n, 1, None, None, item_se, None, "single seed")
    seed_means_S = scores_SN.mean(axis=1)
    rest_SN = scores_SN - seed_means_S[:, None] - item_means_N + mean
    freedom = (seeds - 1) * (n - 1)
    seed_square = n * float(seed_means_S.var(ddof=1))
    rest_square = float((rest_SN**2).sum()) / freedom
    half = t_quantile(seeds - 1) * float(seed_means_S.std(ddof=1)) / math.sqrt(seeds)
    return SeedSpread(
        mean,
        mean - half,
        mean + half,
        n,
        seeds,
        math.sqrt(max(0.0, (seed_square - rest_square) / n)),
        math.sqrt(rest_square / n),
        item_se,
        _f_test(seed_square, rest_square, seeds - 1, freedom),
        f"{seeds} seeds",
    )


def _f_test(seed_square: float, rest_square: float, freedom: int, rest_freedom: int) -> float:
    tiny = 1e-15  # squares of rounding errors
    if rest_square <= tiny:
        return 1.0 if seed_square <= tiny else 0.0
    return float(stats.f.sf(seed_square / rest_square, freedom, rest_freedom))
