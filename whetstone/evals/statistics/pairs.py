"""Two models on the same items: exact tests, intervals of the difference, and what may be said of it in words.

Positive always means that `after` is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from whetstone.evals.statistics.clusters import Clusters, Floats, cluster_codes, values_of
from whetstone.evals.statistics.intervals import LEVEL, Interval, Spread, spread_of, spreads_of, t_quantile
from whetstone.evals.statistics.power import effect_of_error, effect_paired

Reading = Literal["gain", "loss", "not distinguishable"]
FLIPS = 10_000
ENUMERATED = 18  # units whose 2^18 sign patterns are all looked at
FEWEST_CLUSTERS = 6  # 2 / 2^5 = 0.06: with five units no pattern of signs is rare enough for 5 %
_LARGEST = 1 << 16  # signs that are held at a time: few enough for a processor's cache


# -- tests ---------------------------------------------------------------------------------------------------


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided exact McNemar p: under "no difference" the changed items fall either way with probability
    1/2.

    `gained`: wrong before and right after; `lost`: the reverse. No changed item gives p = 1.
    """
    changed = gained + lost
    if changed == 0:
        return 1.0
    return min(1.0, 2.0 * float(stats.binom.cdf(min(gained, lost), changed, 0.5)))


def sign_flip(differences: ArrayLike, clusters: Clusters | None = None, flips: int = FLIPS, seed: int = 0) -> float:
    """Two-sided permutation p of paired differences: how often random signs give a sum as far from 0 as theirs.

    With `clusters` all items of a cluster change sign together. Up to 18 units that are not 0 every pattern is
    counted and p is exact; beyond, `flips` random patterns and p = (1 + as far) / (1 + flips), which is valid for any
    number of flips (Phipson and Smyth 2010) and never 0. On 0/1 scores without clusters the exact p is McNemar's.
    ValueError for no items or a missing cluster id.
    """
    differences_N = values_of(differences, "differences")
    codes_N, count = cluster_codes(clusters, len(differences_N))
    totals_U: Floats = np.bincount(codes_N, differences_N, minlength=count).astype(np.float64)
    slack = 1e-10 * float(np.abs(differences_N).sum())  # sums that are equal in algebra count as equal
    totals_U = totals_U[np.abs(totals_U) > slack]
    reach = abs(float(totals_U.sum())) - slack
    if len(totals_U) == 0:
        return 1.0
    if len(totals_U) <= ENUMERATED:
        sums = np.zeros(1)
        for total in totals_U:
            sums = np.concatenate([sums - total, sums + total])
        return float(np.mean(np.abs(sums) >= reach))
    far = int((np.abs(_flipped(totals_U, flips, seed)) >= reach).sum())
    return (1 + far) / (1 + flips)


def _flipped(totals_U: Floats, flips: int, seed: int) -> Floats:
    """Sums of the totals under `flips` patterns of random signs."""
    units = len(totals_U)
    words = -(-units // 64)
    generator = np.random.default_rng(seed)
    sums_F = np.empty(flips)
    rows = max(1, _LARGEST // units)
    for start in range(0, flips, rows):
        size = min(rows, flips - start)
        words_FW = generator.integers(0, 2**64, size=(size, words), dtype=np.uint64)
        kept_FU = np.unpackbits(words_FW.view(np.uint8), axis=1, count=units).astype(np.float64)
        sums_F[start : start + size] = kept_FU @ (2 * totals_U)
    return sums_F - totals_U.sum()


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down p values of one family of declared comparisons, in the order given.

    The smallest p times m, the next times m - 1, ..., never falling, at most 1: with any dependence between the tests,
    the chance of one or more false alarms stays below the level that they are compared with. ValueError for a p that
    is not between 0 and 1.
    """
    p_M = np.asarray(p_values, dtype=np.float64)
    if not ((p_M >= 0) & (p_M <= 1)).all():
        raise ValueError("p values lie between 0 and 1")
    order = np.argsort(p_M, kind="stable")
    adjusted_M = np.empty_like(p_M)
    adjusted_M[order] = np.minimum(1.0, np.maximum.accumulate(p_M[order] * np.arange(len(p_M), 0, -1)))
    return [float(p) for p in adjusted_M]


# -- intervals -----------------------------------------------------------------------------------------------


def paired_interval(gained: int, lost: int, n: int) -> Interval:
    """after - before on the same `n` items: mean and the adjusted Wald interval of Bonett and Price (2012).

    One item is added to each kind of change (and two to n) before the Wald formula, then clipped to [-1, 1].
    Why this one: we drew 40,000 experiments for each of 11 kinds of change at n = 20, 50, 100, 300 and 500
    (nothing changes, 1 % change, 98 % gained, 30 % change each way, ...). Coverage of a nominal 95 %
    interval, lowest case and mean: Student t on the per-item differences 22 % and 87 % (no width at all when
    every difference is equal); Newcombe's method 10, 88.5 % and 96.4 %; this one 93.4 % and 97.3 %. From n =
    300 and a tenth of the items changed, all three agree to a tenth of a point, so nothing is paid for the
    safety where t was right.
    """
    if gained < 0 or lost < 0 or gained + lost > n:
        raise ValueError(f"{gained} gained and {lost} lost of {n} items is not possible")
    if n == 0:
        return Interval(math.nan, -1.0, 1.0, 0, "nothing measured")
    return _adjusted(gained - lost, gained + lost, 1.0, n, math.inf).interval((gained - lost) / n, n, "items")


@dataclass(frozen=True)
class _Adjusted:
    """A difference with one item added on either side: its centre, standard error and degrees of freedom."""

    centre: float
    error: float
    freedom: float

    def interval(self, mean: float, n: int, words: str) -> Interval:
        half = t_quantile(self.freedom) * self.error
        low, high = max(-1.0, min(mean, self.centre - half)), min(1.0, max(mean, self.centre + half))
        return Interval(mean, low, high, n, f"Bonett-Price over {words}")

    def p(self) -> float:
        """Two-sided p of "no difference"."""
        return float(2 * stats.t.sf(abs(self.centre) / self.error, self.freedom))


def _adjusted(total: float, squares: float, largest: float, n: float, freedom: float) -> _Adjusted:
    """Bonett and Price's adjustment for `n` differences with sum `total` and sum of squares `squares`, where the two
    items added change by `largest` either way."""
    centre = total / (n + 2)
    variance = (squares + 2 * largest**2) / (n + 2) - centre * centre
    return _Adjusted(centre, math.sqrt(variance / (n + 2)), freedom)


def _adjusted_of(differences_N: Floats, spread: Spread | None) -> _Adjusted:
    """The adjustment for any differences in [-1, 1] and for clusters.

    The two added items change by as much as the largest change seen (1 where nothing changed), so that for 0/1 scores
    this is Bonett and Price's interval. Clusters: the data count as the number of independent items that would
    have the clusters' standard error; as C items where all differences are equal.
    """
    n = len(differences_N)
    largest = float(np.abs(differences_N).max()) or 1.0
    single = float(differences_N.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    effective: float = n
    if spread is not None and spread.units < n:
        effective = n * (single / spread.error) ** 2 if spread.error > 0 else spread.units
    total, squares = float(differences_N.sum()), float(differences_N @ differences_N)
    share = effective / n
    return _adjusted(total * share, squares * share, largest, effective, math.inf if spread is None else spread.freedom)


def adjusted_error(differences_N: Floats) -> float:
    """Standard error of the mean of paired differences with one item added on either side; never 0."""
    return _adjusted_of(differences_N, None).error


def difference_interval(differences: ArrayLike, clusters: Clusters | None = None) -> Interval:
    """Mean of paired differences in [-1, 1] with its interval; clustered when clusters are given and repeat.

    For 0/1 scores of single items it is `paired_interval`. Coverage without a true difference where clusters' own
    differences scatter by 20 points: 95 to 97 % in 500 draws each for 2 to 100 clusters (36 to 91 % with clusters
    ignored). For means of 16 samples: 98 to 100 % at 10 and 20 items, 95 to 97 % at 300. ValueError for no items,
    differences outside [-1, 1] or a missing cluster id.
    """
    differences_N = values_of(differences, "differences")
    adjusted, words = _estimate(differences_N, clusters)
    return adjusted.interval(float(differences_N.mean()), len(differences_N), words)


def _estimate(differences_N: Floats, clusters: Clusters | None) -> tuple[_Adjusted, str]:
    if np.abs(differences_N).max() > 1:
        raise ValueError("differences of scores lie between -1 and 1")
    n = len(differences_N)
    cluster_codes(clusters, n)
    if n == 1:
        return _adjusted_of(differences_N, None), "items"
    spread = spread_of(differences_N, clusters)
    plain = spread.units == n and bool(np.isin(differences_N, (-1.0, 0.0, 1.0)).all())
    return _adjusted_of(differences_N, None if plain else spread), spread.words


def minimum_detectable(gained: int, lost: int, n: int) -> float:
    """Smallest true difference that a two-sided 5 % McNemar test on `n` pairs finds with 80 % power.

    `power.effect_paired` with the share of items that change estimated with the same added items as the interval (so
    that no observed change does not mean infinite power).
    """
    return effect_paired(n, (gained + lost + 2) / (n + 2)) if n > 0 else 1.0


def unpaired_difference(after: Mapping[str, float], before: Mapping[str, float]) -> Interval:
    """after - before for two fractions that each carry {mean, low, high}, as if they were independent.

    Newcombe's square-and-add (method 10 without its correlation). On the same items the true interval is
    narrower, so this errs on the side of "not distinguishable". Used where a report holds two bands but not
    the items.
    """
    mean = after["mean"] - before["mean"]
    down = math.hypot(after["mean"] - after["low"], before["high"] - before["mean"])
    up = math.hypot(after["high"] - after["mean"], before["mean"] - before["low"])
    n = int(min(after.get("n", 0), before.get("n", 0)))
    return Interval(mean, max(-1.0, mean - down), min(1.0, mean + up), n, "Newcombe")


# -- all of it -----------------------------------------------------------------------------------------------


def reading(difference: Mapping[str, Any]) -> Reading:
    """What may be said: "gain" or "loss" when the interval leaves 0 out and p, where there is one, is below 0.05."""
    p = difference.get("p", difference.get("p_mcnemar_exact"))
    if p is not None and p >= 1 - LEVEL:
        return "not distinguishable"
    return "gain" if difference["low"] > 0 else "loss" if difference["high"] < 0 else "not distinguishable"


def compare(before: ArrayLike, after: ArrayLike, clusters: Clusters | None = None) -> dict[str, Any]:
    """Compare scores in 0..1 of the same items, in the same order; positive means that `after` is better.

    before, after: [N] right/wrong or shares, or [N, K] for K samples of each item, whose means count. Returns
    {mean, low, high, n, p, test, p_mcnemar_exact, discordant: [gained, lost], minimum_detectable, verdict}: `verdict`
    is `reading`'s word, `test` names what made p:

    - right/wrong scores: exact McNemar;
    - shares: sign flips; with clusters that repeat: sign flips of whole clusters, or, with fewer than six of them
      (no pattern of signs could reject), t over clusters, which trusts that clusters' means are near normal.

    Without a true difference, where clusters' own scatter by 20 points, this says "gain" or "loss" in 1 to 5 % of 500
    draws each for 2 to 100 clusters, and McNemar's test of single items in 63 % (2 clusters) to 9 % (100).

    `p_mcnemar_exact` is None unless that test fits. The interval is `difference_interval`'s. ValueError for
    different lengths, no items, a score outside 0..1, or a missing cluster id.
    """
    before_N, after_N = _pair(before, after)
    differences_N = after_N - before_N
    n = len(differences_N)
    gained, lost = int((differences_N > 0).sum()), int((differences_N < 0).sum())
    adjusted, words = _estimate(differences_N, clusters)
    clustered = 1 < cluster_codes(clusters, n)[1] < n
    exact = None
    if not clustered and bool(np.isin([before_N, after_N], (0.0, 1.0)).all()):
        exact = mcnemar_exact(gained, lost)
        p, test, least = exact, "exact McNemar", minimum_detectable(gained, lost, n)
    else:
        p, test = _test(differences_N, clusters if clustered else None)
        least = min(1.0, effect_of_error(adjusted.error, adjusted.freedom))
    found: dict[str, Any] = adjusted.interval(float(differences_N.mean()), n, words).to_dict()
    found |= {"p": p, "test": test, "p_mcnemar_exact": exact, "discordant": [gained, lost], "minimum_detectable": least}
    return found | {"verdict": reading(found)}


def _test(differences_N: Floats, clusters: Clusters | None) -> tuple[float, str]:
    if clusters is None:
        return sign_flip(differences_N), "sign flips of items"
    count = cluster_codes(clusters, len(differences_N))[1]
    if count >= FEWEST_CLUSTERS:
        return sign_flip(differences_N, clusters), f"sign flips of {count} clusters"
    spreads = spreads_of(differences_N, clusters)  # as for the interval, whichever is less certain
    return max(_adjusted_of(differences_N, spread).p() for spread in spreads), f"t over {count} clusters"


def _pair(before: ArrayLike, after: ArrayLike) -> tuple[Floats, Floats]:
    before_N, after_N = values_of(before, "items to compare"), values_of(after, "items to compare")
    if len(before_N) != len(after_N):
        raise ValueError(f"{len(before_N)} scores before and {len(after_N)} after are not pairs")
    if min(before_N.min(), after_N.min()) < 0 or max(before_N.max(), after_N.max()) > 1:
        raise ValueError("scores must lie between 0 and 1")
    return before_N, after_N
