"""Intervals and paired tests for right/wrong scores.

Every function is exact or has a fixed seed, so a report is reproduced digit by digit. Fractions are 0..1
everywhere; percent signs are put on by whoever prints. All intervals are 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

LEVEL = 0.95
POWER = 0.80
_Z = float(stats.norm.ppf(0.5 + LEVEL / 2))
_Z_POWER = float(stats.norm.ppf(POWER))


@dataclass(frozen=True)
class Interval:
    """A fraction with its 95 % interval; `n` is the number of independent items behind it."""

    mean: float
    low: float
    high: float
    n: int

    def to_dict(self) -> dict[str, float | int]:
        """The form in which report.json carries an accuracy: {mean, low, high, n}."""
        return asdict(self)


def wilson(k: int, n: int) -> Interval:
    """`k` right of `n`: the Wilson score interval (Wilson 1927; Brown, Cai and DasGupta 2001).

    With n = 0 nothing is known: mean is nan, the interval is [0, 1]. ValueError unless 0 <= k <= n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} right of {n} is not possible")
    if n == 0:
        return Interval(math.nan, 0.0, 1.0, 0)
    share, z2 = k / n, _Z * _Z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # the ends are exactly 0 and 1 in algebra; rounding must not push the mean outside its own interval
    low = 0.0 if k == 0 else centre - half
    high = 1.0 if k == n else centre + half
    return Interval(share, low, high, n)


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided exact McNemar p: under "no difference" the changed items fall either way with probability
    1/2.

    `gained`: wrong before and right after; `lost`: the reverse. No changed item gives p = 1.
    """
    changed = gained + lost
    if changed == 0:
        return 1.0
    return min(1.0, 2.0 * float(stats.binom.cdf(min(gained, lost), changed, 0.5)))


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
        return Interval(math.nan, -1.0, 1.0, 0)
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    centre = up - down
    half = _Z * math.sqrt((up + down - centre * centre) / (n + 2))
    mean = (gained - lost) / n
    return Interval(mean, max(-1.0, min(mean, centre - half)), min(1.0, max(mean, centre + half)), n)


def minimum_detectable(gained: int, lost: int, n: int) -> float:
    """Smallest true difference that a two-sided 5 % McNemar test on `n` pairs finds with 80 % power.

    Solves Connor (1987): d sqrt(n) = z_{.975} sqrt(psi) + z_{.80} sqrt(psi - d^2), psi = share of items that
    change, estimated with the same added items as the interval (so that no observed change does not mean
    infinite power). A difference cannot exceed psi: where even that is too small to be found, psi is raised
    to meet it.
    """
    if n == 0:
        return 1.0
    changed = (gained + lost + 2) / (n + 2)

    def shortfall(d: float) -> float:
        psi = max(changed, d)
        return d * math.sqrt(n) - _Z * math.sqrt(psi) - _Z_POWER * math.sqrt(max(0.0, psi - d * d))

    return float(optimize.brentq(shortfall, 0.0, 1.0)) if shortfall(1.0) > 0 else 1.0


def paired_difference(before: Sequence[int], after: Sequence[int]) -> dict[str, Any]:
    """Compare 0/1 scores of the same items, in the same order; positive means that `after` is better.

    Returns {mean, low, high, n, p, p_mcnemar_exact, discordant: [gained, lost], minimum_detectable}; `p` is
    the exact McNemar p under the short name that report.json's DIFF uses. The interval is
    `paired_interval`'s. ValueError for different lengths, no items, or a score that is neither 0 nor 1.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} scores before and {len(after)} after are not pairs")
    if not before:
        raise ValueError("no items to compare")
    if any(score not in (0, 1) for score in (*before, *after)):
        raise ValueError("scores must be 0 or 1")
    gained = sum(1 for b, a in zip(before, after, strict=True) if a > b)
    lost = sum(1 for b, a in zip(before, after, strict=True) if a < b)
    n = len(before)
    p = mcnemar_exact(gained, lost)
    return {
        **paired_interval(gained, lost, n).to_dict(),
        "p": p,
        "p_mcnemar_exact": p,
        "discordant": [gained, lost],
        "minimum_detectable": minimum_detectable(gained, lost, n),
    }


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
    return Interval(mean, max(-1.0, mean - down), min(1.0, mean + up), n)


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that at least one of `k` answers is right, from `c` right among `n` drawn.

    1 - C(n-c, k) / C(n, k), unbiased (Chen et al. 2021, "Evaluating Large Language Models Trained on Code",
    eq. 1). ValueError unless 0 <= c <= n and 1 <= k <= n: from n answers nothing unbiased can be said about
    more than n tries.
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass@{k} cannot be estimated from {c} right of {n}")
    if n - c < k:
        return 1.0
    return 1.0 - math.prod((n - c - i) / (n - i) for i in range(k))


def pass_at_k_curve(
    counts: Sequence[tuple[int, int]], ks: Iterable[int], bootstrap: int = 2000, seed: int = 0
) -> list[dict[str, float | int]]:
    """Mean pass@k over problems with a 95 % band, one {k, mean, low, high, n} for each k; n counts problems.

    `counts`: (answers drawn, answers right) per problem. The band is a percentile bootstrap over problems,
    the same resamples for every k and, with equal `seed` and number of problems, for every model: two curves
    on one set of problems are drawn with common luck. Where all values are 0 or 1 (k = n, or everything
    solved) a bootstrap is too narrow or has no width, and the band is Wilson's. ValueError for no problems.
    """
    if not counts:
        raise ValueError("no problems to compute pass@k from")
    problems = len(counts)
    generator = np.random.default_rng(seed)
    weights_BN = generator.multinomial(problems, [1.0 / problems] * problems, size=bootstrap) / problems
    curve: list[dict[str, float | int]] = []
    for k in ks:
        values_N = np.array([pass_at_k(n, c, k) for n, c in counts])
        curve.append({"k": k, **_band(values_N, weights_BN).to_dict()})
    return curve


def _band(values_N: NDArray[np.float64], weights_BN: NDArray[np.float64]) -> Interval:
    n, mean = len(values_N), float(values_N.mean())
    if bool(np.isin(values_N, (0.0, 1.0)).all()):
        return wilson(int(values_N.sum()), n)
    tail = 100 * (1 - LEVEL) / 2
    low, high = (float(x) for x in np.percentile(weights_BN @ values_N, [tail, 100 - tail]))
    return Interval(mean, min(low, mean), max(high, mean), n)
