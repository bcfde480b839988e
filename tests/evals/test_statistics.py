"""Our intervals against statsmodels, brute force and simulation."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from whetstone.evals.statistics import (
    Interval,
    compare,
    mcnemar_exact,
    minimum_detectable,
    paired_interval,
    pass_at_k,
    pass_at_k_curve,
    unpaired_difference,
    wilson,
)


@pytest.mark.parametrize("n", [1, 2, 7, 50, 500, 10_000])
def test_wilson_agrees_with_statsmodels(n: int) -> None:
    for k in sorted({0, 1, n // 3, n // 2, n - 1, n}):
        low, high = proportion_confint(k, n, alpha=0.05, method="wilson")
        ours = wilson(k, n)
        assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-12)
        assert ours.mean == k / n and 0 <= ours.low <= ours.mean <= ours.high <= 1


def test_wilson_edges() -> None:
    assert wilson(0, 20).low == 0.0 and wilson(20, 20).high == 1.0
    nothing = wilson(0, 0)
    assert math.isnan(nothing.mean) and (nothing.low, nothing.high) == (0.0, 1.0)
    for k, n in [(-1, 5), (6, 5)]:
        with pytest.raises(ValueError, match="not possible"):
            wilson(k, n)


def test_interval_as_dict_is_json() -> None:
    assert json.loads(json.dumps(Interval(0.5, 0.4, 0.6, 10).to_dict())) == {
        "mean": 0.5, "low": 0.4, "high": 0.6, "n": 10,
    }  # fmt: skip


@pytest.mark.parametrize(("gained", "lost"), list(itertools.product([0, 1, 2, 5, 30, 217], [0, 1, 3, 30])))
def test_mcnemar_agrees_with_statsmodels(gained: int, lost: int) -> None:
    oracle = mcnemar([[10, gained], [lost, 10]], exact=True).pvalue
    assert mcnemar_exact(gained, lost) == pytest.approx(min(1.0, oracle), abs=1e-12)


def test_compare_counts_both_ways() -> None:
    result = compare([0, 0, 0, 1, 1, 0], [1, 1, 0, 1, 0, 0])
    assert result["discordant"] == [2, 1] and result["mean"] == pytest.approx(1 / 6) and result["n"] == 6
    assert result["p"] == result["p_mcnemar_exact"] == 1.0
    assert result["low"] < 0 < result["high"]
    json.dumps(result)


def test_compare_is_antisymmetric() -> None:
    generator = np.random.default_rng(3)
    before, after = ([int(x) for x in generator.integers(0, 2, 80)] for _ in range(2))
    there, back = compare(before, after), compare(after, before)
    assert there["mean"] == -back["mean"] and there["p"] == back["p"]
    assert (there["low"], there["high"]) == pytest.approx((-back["high"], -back["low"]))


def test_compare_matches_t_interval_on_a_large_change() -> None:
    generator = np.random.default_rng(4)
    before = (generator.random(500) < 0.27).astype(int)
    after = (generator.random(500) < 0.70).astype(int)
    d = after - before
    half = 1.9647 * d.std(ddof=1) / math.sqrt(500)
    result = compare(before.tolist(), after.tolist())
    assert (result["low"], result["high"]) == pytest.approx((d.mean() - half, d.mean() + half), abs=3e-3)
    assert result["p"] < 1e-20


@pytest.mark.parametrize("n", [1, 10, 500])
@pytest.mark.parametrize("pair", [(0, 0), (1, 1), (0, 1), (1, 0)])
def test_no_variance_still_gives_an_interval_of_sensible_width(n: int, pair: tuple[int, int]) -> None:
    result = compare([pair[0]] * n, [pair[1]] * n)
    assert -1 <= result["low"] <= result["mean"] <= result["high"] <= 1
    assert 0.5 / n < result["high"] - result["low"] <= 2
    assert 0 < result["minimum_detectable"] <= 1


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [([0], [0, 1], "pairs"), ([], [], "no items"), ([0, 2], [0, 1], "0 and 1"), ([math.nan], [1], "finite")],
)
def test_compare_refuses(before: list[Any], after: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(before, after)


def test_paired_interval_refuses_the_impossible() -> None:
    with pytest.raises(ValueError, match="not possible"):
        paired_interval(4, 4, 7)
    assert math.isnan(paired_interval(0, 0, 0).mean)


@pytest.mark.parametrize("n", [20, 100, 500])
@pytest.mark.parametrize("shares", [(0.45, 0.02), (0.05, 0.05), (0.02, 0.0), (0.3, 0.3), (0.98, 0.0)])
def test_paired_interval_covers_the_truth(n: int, shares: tuple[float, float]) -> None:
    up, down = shares
    draws = np.random.default_rng(n).multinomial(n, [up, down, 1 - up - down], size=2000)
    intervals = [paired_interval(int(g), int(lost), n) for g, lost, _ in draws]
    covered = np.mean([i.low - 1e-12 <= up - down <= i.high + 1e-12 for i in intervals])
    assert covered >= 0.93


@pytest.mark.parametrize(("up", "down"), [(0.2, 0.2), (0.06, 0.06), (0.3, 0.1)])
def test_minimum_detectable_has_the_power_it_claims(up: float, down: float) -> None:
    n = 400
    effect = minimum_detectable(round(up * n), round(down * n), n)
    changed = up + down
    shares = [(changed + effect) / 2, (changed - effect) / 2, 1 - changed]
    draws = np.random.default_rng(1).multinomial(n, shares, size=2000)
    found = np.mean([mcnemar_exact(int(g), int(lost)) < 0.05 for g, lost, _ in draws])
    assert 0.70 < found < 0.87  # the exact test is a little conservative


def test_minimum_detectable_shrinks_with_items() -> None:
    effects = [minimum_detectable(n // 5, n // 5, n) for n in (10, 50, 200, 1000, 5000)]
    assert effects == sorted(effects, reverse=True) and effects[-1] < 0.03
    assert minimum_detectable(0, 0, 0) == 1.0 and minimum_detectable(0, 0, 2) == 1.0


def test_unpaired_difference_is_newcombes_method_10_without_correlation() -> None:
    # Newcombe (1998, "independent proportions"), example 56/70 - 48/80: 0.0524 to 0.3339
    result = unpaired_difference(wilson(56, 70).to_dict(), wilson(48, 80).to_dict())
    assert (result.low, result.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_equals_all_subsets(ncks: tuple[int, int, int]) -> None:
    n, c, k = ncks
    subsets = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)


def test_pass_at_k_is_stable_for_many_samples_and_refuses_extrapolation() -> None:
    assert pass_at_k(100_000, 1, 50_000) == pytest.approx(0.5)
    for n, c, k in [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0)]:
        with pytest.raises(ValueError, match="cannot be estimated"):
            pass_at_k(n, c, k)


def test_pass_at_k_curve_rises_and_repeats() -> None:
    generator = np.random.default_rng(0)
    counts = [(16, int(c)) for c in generator.binomial(16, generator.beta(0.5, 2.0, 60))]
    curve = pass_at_k_curve(counts, [1, 2, 4, 8, 16], seed=7)
    means = [point["mean"] for point in curve]
    assert means == sorted(means) and [point["k"] for point in curve] == [1, 2, 4, 8, 16]
    assert means[0] == pytest.approx(np.mean([c / n for n, c in counts]))
    assert all(p["low"] < p["mean"] < p["high"] and p["n"] == 60 for p in curve)
    assert curve == pass_at_k_curve(counts, [1, 2, 4, 8, 16], seed=7)


def test_pass_at_k_band_has_about_the_width_of_the_standard_error() -> None:
    counts = [(8, c) for c in np.random.default_rng(1).integers(0, 9, 200)]
    point = pass_at_k_curve([(n, int(c)) for n, c in counts], [1])[0]
    values = np.array([c / 8 for _, c in counts])
    width = 2 * 1.96 * values.std(ddof=1) / math.sqrt(200)
    assert point["high"] - point["low"] == pytest.approx(width, rel=0.08)


def test_pass_at_k_band_does_not_vanish_when_everything_is_solved() -> None:
    for right in (0, 8):
        point = pass_at_k_curve([(8, right)] * 30, [4])[0]
        assert point["high"] - point["low"] == pytest.approx(wilson(30, 30).high - wilson(30, 30).low)
    with pytest.raises(ValueError, match="no problems"):
        pass_at_k_curve([], [1])
