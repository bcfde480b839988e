"""How often the intervals hold the truth, and how often the tests cry wolf: the tables of docs/statistics.md.

`pytest -m slow -s tests/evals/statistics/test_coverage.py` prints them again.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from whetstone.evals.statistics import (
    Interval,
    accuracy_interval,
    cluster_bootstrap,
    clustered_error,
    compare,
    difference_interval,
    mcnemar_exact,
    mean_interval,
    paired_interval,
    rank_intervals,
    reliability,
    seed_spread,
    sign_flip,
    wilson,
)

pytestmark = pytest.mark.slow
CLUSTERS = [(3, 100), (6, 30), (10, 30), (30, 10), (100, 5)]  # how many, and items in each


def holds(interval: Interval, truth: float) -> bool:
    return interval.low - 1e-12 <= truth <= interval.high + 1e-12


def plain_t(values: np.ndarray, ids: list[int]) -> Interval:
    mean, half = float(values.mean()), stats.t.ppf(0.975, len(set(ids)) - 1) * clustered_error(values, ids)
    return Interval(mean, mean - half, mean + half, len(values))


def show(*cells: object) -> None:
    print(" | ".join(f"{100 * cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells))


@pytest.mark.parametrize(("count", "size"), CLUSTERS)
@pytest.mark.parametrize(
    ("correlation", "rate", "least"),
    [(0, 0.5, 0.93), (0, 0.97, 0.93), (0.05, 0.9, 0.92), (0.2, 0.9, 0.88), (0.2, 0.97, 0.8)],
)
def test_accuracy_over_clusters(count: int, size: int, correlation: float, rate: float, least: float) -> None:
    generator = np.random.default_rng(0)
    codes = np.arange(count).repeat(size)
    ids = codes.tolist()
    held = np.zeros(4)
    for _ in range(800):
        rates = np.full(count, rate)
        if correlation:
            weight = (1 - correlation) / correlation
            rates = generator.beta(rate * weight, (1 - rate) * weight, count)
        scores = (generator.random(count * size) < rates[codes]).astype(float)
        ways = (wilson(int(scores.sum()), len(scores)), plain_t(scores, ids), cluster_bootstrap(scores, ids, 500))
        held += [holds(way, rate) for way in (*ways, accuracy_interval(scores, ids))]
    show(f"{count} x {size}", correlation, rate, *(held / 800).tolist())
    assert held[3] / 800 > least


@pytest.mark.parametrize("n", [10, 20, 50, 100, 300])
@pytest.mark.parametrize("samples", [4, 16])
@pytest.mark.parametrize("ease", [(0.6, 0.8), (0.2, 6.0), (5.0, 5.0)])
def test_means_of_samples(n: int, samples: int, ease: tuple[float, float]) -> None:
    generator = np.random.default_rng(0)
    held = np.zeros(2)
    for _ in range(1000):
        shares = generator.binomial(samples, generator.beta(*ease, n)) / samples
        held += [holds(way, ease[0] / sum(ease)) for way in (mean_interval(shares), accuracy_interval(shares))]
    show(n, samples, ease, *(held / 1000).tolist())
    assert held[1] / 1000 > 0.89


@pytest.mark.parametrize(("count", "size"), [(2, 200), (3, 100), (5, 50), *CLUSTERS[1:]])
@pytest.mark.parametrize("scatter", [0, 0.05, 0.2])
def test_differences_over_clusters(count: int, size: int, scatter: float) -> None:
    generator = np.random.default_rng(0)
    codes = np.arange(count).repeat(size)
    ids = codes.tolist()
    held, wolf = np.zeros(3), np.zeros(2)
    for _ in range(500):
        shift = (scatter * generator.standard_normal(count).clip(-2, 2))[codes] / 2
        luck = generator.random(count * size)
        gains, losses = luck < 0.2 + shift, (luck >= 0.2 + shift) & (luck < 0.4)
        before, after = losses.astype(int), gains.astype(int)
        gained, lost = int(gains.sum()), int(losses.sum())
        found = compare(before, after, ids)
        clustered = Interval(found["mean"], found["low"], found["high"], found["n"])
        ways = (paired_interval(gained, lost, len(before)), plain_t(after - before, ids), clustered)
        held += [holds(way, 0.0) for way in ways]
        wolf += [mcnemar_exact(gained, lost) < 0.05, found["verdict"] != "not distinguishable"]
    show(f"{count} x {size}", scatter, *(held / 500).tolist(), "wolf", *(wolf / 500).tolist())
    assert held[2] / 500 > 0.92 and wolf[1] / 500 < 0.08


@pytest.mark.parametrize("n", [10, 20, 50, 100, 300])
@pytest.mark.parametrize("ease", [(0.6, 0.8), (0.2, 6.0), (5.0, 5.0)])
def test_differences_of_samples(n: int, ease: tuple[float, float]) -> None:
    generator = np.random.default_rng(0)
    held, wolf = np.zeros(2), 0
    for _ in range(500):
        rates = generator.beta(*ease, n)
        differences = (generator.binomial(16, rates) - generator.binomial(16, rates)) / 16
        held += [holds(way, 0.0) for way in (mean_interval(differences), difference_interval(differences))]
        wolf += sign_flip(differences, flips=999) < 0.05
    show(n, ease, *(held / 500).tolist(), "wolf", wolf / 500)
    assert held[1] / 500 > 0.93 and wolf / 500 < 0.08


@pytest.mark.parametrize("n", [100, 500])
@pytest.mark.parametrize("rates", [(0.5,) * 4, (0.5,) * 10, (0.5, 0.52, 0.54, 0.56), (0.3, 0.5, 0.7)])
def test_ranks(n: int, rates: tuple[float, ...]) -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        common = 0.7 * generator.standard_normal((n, 1))
        luck = stats.norm.cdf(common + math.sqrt(0.51) * generator.standard_normal((n, len(rates))))
        rows = rank_intervals({str(i): (luck[:, i] < rate).astype(int) for i, rate in enumerate(rates)}, resamples=500)
        for row in rows:
            own = rates[int(row["name"])]
            best, worst = 1 + sum(rate > own for rate in rates), sum(rate >= own for rate in rates)
            held += row["rank_low"] <= best and worst <= row["rank_high"]
    show(n, rates, held / 200 / len(rates))
    assert held / 200 / len(rates) > 0.92


@pytest.mark.parametrize("n", [100, 500, 2000])
@pytest.mark.parametrize("shift", [0, 0.03, 0.1, 0.25])
def test_calibration_error(n: int, shift: float) -> None:
    generator = np.random.default_rng(0)
    places = np.arange(17) / 16
    bins = np.minimum((places * 10).astype(int), 9)
    truth = np.abs(np.bincount(bins, places - np.clip(places - shift, 0, 1))).sum() / 17
    held, repeats = 0, 200
    for _ in range(repeats):
        confidence = generator.integers(0, 17, n) / 16
        right = generator.random(n) < np.clip(confidence - shift, 0, 1)
        held += holds(reliability(confidence, right, resamples=300).ece, truth)
    show(n, shift, f"true {truth:.3f}", held / repeats)
    assert held / repeats > 0.86


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("scatter", [0, 0.02, 0.05])
def test_seeds(seeds: int, scatter: float) -> None:
    generator = np.random.default_rng(0)
    held, squares, wolf = 0, [], 0
    for _ in range(1000):
        ease = generator.beta(2, 2, 300)
        rates = np.clip(ease + scatter * generator.standard_normal((seeds, 1)), 0, 1)
        found = seed_spread((generator.random((seeds, 300)) < rates).astype(int))
        assert found.low is not None and found.high is not None and found.seed_sd is not None and found.p is not None
        held += found.low <= ease.mean() <= found.high
        squares.append(found.seed_sd**2)
        wolf += found.p < 0.05
    show(seeds, scatter, held / 1000, f"sd {math.sqrt(np.mean(squares)):.3f}", "seeds differ", wolf / 1000)
    assert held / 1000 > 0.93 and (scatter > 0 or wolf / 1000 < 0.07)
