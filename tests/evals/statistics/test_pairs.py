"""Paired tests and intervals against statsmodels, scipy, brute force and simulation."""

from __future__ import annotations

import itertools
import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from whetstone.evals.statistics import (
    compare,
    difference_interval,
    holm,
    mcnemar_exact,
    minimum_detectable,
    paired_interval,
    pairs,
    reading,
    sign_flip,
    unpaired_difference,
    wilson,
)


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


# -- sign flips ----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([-0.75, -0.1, 0.0, 0.1, 0.2, 0.3, 1.0]), st.integers(0, 3)), min_size=1, max_size=9
    )
)
def test_sign_flip_equals_brute_force(rows: list[tuple[float, int]]) -> None:
    differences, ids = [d for d, _ in rows], [code for _, code in rows]
    for clusters, units in (
        (None, [[d] for d in differences]),
        (ids, [[d for d, i in rows if i == c] for c in set(ids)]),
    ):
        exact = [[Fraction(str(d)) for d in unit] for unit in units]
        reach = abs(sum(sum(unit) for unit in exact))
        patterns = list(itertools.product([1, -1], repeat=len(exact)))
        sums = [abs(sum(sign * sum(unit) for sign, unit in zip(signs, exact, strict=True))) for signs in patterns]
        expected = sum(each >= reach for each in sums) / len(patterns)
        assert sign_flip(differences, clusters) == pytest.approx(expected, abs=1e-12)


def test_sign_flip_agrees_with_scipy_and_with_mcnemar() -> None:
    generator = np.random.default_rng(2)
    few = np.round(generator.normal(0.1, 0.3, 12), 2)
    oracle = stats.permutation_test((few,), np.sum, permutation_type="samples", vectorized=True, n_resamples=np.inf)
    assert sign_flip(few) == pytest.approx(oracle.pvalue, abs=1e-12)
    for gained, lost in [(9, 2), (5, 5), (0, 6), (11, 7)]:
        assert sign_flip([1] * gained + [-1] * lost + [0] * 30) == pytest.approx(mcnemar_exact(gained, lost), abs=1e-12)
    many = generator.normal(0.03, 0.3, 300)
    oracle = stats.permutation_test(
        (many,), np.sum, permutation_type="samples", vectorized=True, n_resamples=9999, rng=1
    )
    assert sign_flip(many) == pytest.approx(oracle.pvalue, abs=0.02)


def test_sign_flip_by_chance_is_close_to_exact_and_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(7).normal(0.15, 0.4, 16)
    exact = sign_flip(differences)
    monkeypatch.setattr(pairs, "ENUMERATED", 0)
    assert sign_flip(differences, flips=100_000) == pytest.approx(exact, abs=0.004)
    assert sign_flip([1.0] * 400, flips=999) == 1 / 1000
    assert sign_flip(differences, flips=500) == sign_flip(differences, flips=500)
    whole = sign_flip(differences, flips=1000)
    monkeypatch.setattr(pairs, "_LARGEST", 1)
    assert 0 < sign_flip(differences, flips=1000) < 1 and whole == sign_flip(differences, flips=1000)


def test_sign_flip_keeps_its_level() -> None:
    generator = np.random.default_rng(0)
    ids = np.arange(20).repeat(5)
    wrong = 0
    for _ in range(400):
        noise = generator.normal(size=20)[ids] + generator.normal(size=100)
        wrong += sign_flip(noise, ids.tolist(), flips=499) < 0.05
    assert wrong / 400 < 0.085  # single items would be wrong a third of the time


# -- Holm ----------------------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)  # statsmodels collects garbage at each call
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist(), abs=1e-12)


def test_holm_keeps_the_order_and_refuses_what_is_no_p() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06]) and holm([]) == []
    for wrong in (1.1, -0.1, math.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            holm([0.5, wrong])


# -- differences of shares and of clusters -------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=60))
def test_difference_interval_of_right_and_wrong_is_bonett_and_prices(differences: list[int]) -> None:
    gained, lost = differences.count(1), differences.count(-1)
    expected = paired_interval(gained, lost, len(differences))
    found = difference_interval(differences)
    assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 8)),
        min_size=1,
        max_size=50,
    )
)
def test_compare_is_antisymmetric_and_consistent(rows: list[tuple[float, float, int]]) -> None:
    before, after, ids = ([row[i] for row in rows] for i in range(3))
    for clusters in (None, ids):
        there, back = compare(before, after, clusters), compare(after, before, clusters)
        assert (there["low"], there["high"]) == pytest.approx((-back["high"], -back["low"]), abs=1e-9)
        assert there["p"] == pytest.approx(back["p"], abs=1e-9) and there["discordant"] == back["discordant"][::-1]
        assert -1 <= there["low"] <= there["mean"] <= there["high"] <= 1 and there["low"] < there["high"]
        words = {"gain": "loss", "loss": "gain"}
        assert back["verdict"] == words.get(there["verdict"], "not distinguishable")
        assert 0 < there["minimum_detectable"] <= 1 and json.loads(json.dumps(there)) == there


def test_compare_names_its_test() -> None:
    before, after = [0, 0, 1, 0, 1, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1, 1]
    plain = compare(before, after)
    assert plain["test"] == "exact McNemar" and plain["p"] == plain["p_mcnemar_exact"] == mcnemar_exact(5, 0)
    assert compare(before, after, list("abcdefgh")) == compare(before, after, [""] * 8) == plain
    assert compare(before, after, ["a"] * 8) == plain  # one cluster: as if items were independent
    shares = compare([0.5] * 8, [0.75] * 8)
    assert shares["test"] == "sign flips of items" and shares["p"] == 2 / 256 and shares["p_mcnemar_exact"] is None
    few = compare(before, after, [0, 0, 1, 1, 2, 2, 3, 3])
    assert few["test"] == "t over 4 clusters" and few["p_mcnemar_exact"] is None
    many = compare(before * 2, after * 2, [i // 2 for i in range(16)])
    assert many["test"] == "sign flips of 8 clusters"


def test_compare_says_in_words_what_may_be_said() -> None:
    before, after = [0] * 60, [1] * 20 + [0] * 40
    assert compare(before, after)["verdict"] == "gain" and compare(after, before)["verdict"] == "loss"
    assert compare(before, before)["verdict"] == "not distinguishable"
    assert compare(before, [1] * 4 + [0] * 56)["verdict"] == "not distinguishable"
    # all twenty come from one document of six: nothing may be said of documents
    assert compare(before, after, [i // 10 for i in range(60)])["verdict"] == "not distinguishable"
    # a like gain in each of three wordings is one, and t may say so where no pattern of signs could
    thirds = [i // 200 for i in range(600)]
    better = [int(i % 200 < 70 + 10 * (i // 200)) for i in range(600)]  # 35, 40 and 45 points
    found = compare([0] * 600, better, thirds)
    assert found["verdict"] == "gain" and found["test"] == "t over 3 clusters"
    # about t with 2 degrees of freedom, and not one in 10^60 as for single items
    assert found["p"] == pytest.approx(stats.ttest_1samp([0.35, 0.4, 0.45], 0).pvalue, rel=0.2)


def test_the_word_needs_both_interval_and_test() -> None:
    base = {"mean": 0.1, "low": 0.01, "high": 0.2}
    assert reading(base) == "gain" and reading(base | {"p": 0.06}) == "not distinguishable"
    assert reading(base | {"p_mcnemar_exact": 0.06}) == "not distinguishable"
    assert reading({"mean": -0.1, "low": -0.2, "high": -0.01, "p": 0.01}) == "loss"


def test_clusters_never_make_a_difference_more_certain() -> None:
    before, after = [0, 1] * 100, [1, 0] * 100  # each pair of items cancels
    alone, paired_up = compare(before, after), compare(before, after, [i // 2 for i in range(200)])
    assert paired_up["high"] - paired_up["low"] >= alone["high"] - alone["low"] - 1e-12


def test_fully_dependent_clusters_of_pairs_count_as_one_item_each() -> None:
    generator = np.random.default_rng(3)
    before, after = generator.integers(0, 2, 400), generator.integers(0, 2, 400)
    many = compare(before.repeat(5), after.repeat(5), np.arange(400).repeat(5).tolist())
    one = compare(before, after)
    assert (many["low"], many["high"]) == pytest.approx((one["low"], one["high"]), abs=2e-3)
    assert many["p"] == pytest.approx(one["p"], abs=0.03)
    assert many["minimum_detectable"] == pytest.approx(one["minimum_detectable"], rel=0.02)


def test_minimum_detectable_of_clusters_has_the_power_it_claims() -> None:
    generator = np.random.default_rng(0)
    ids = np.arange(60).repeat(5)

    def differences(shift: float) -> np.ndarray:
        return np.clip(shift + 0.2 * generator.normal(size=60)[ids] + 0.2 * generator.normal(size=300), -1, 1)

    zero = np.zeros(300)
    first = np.clip(differences(0.0), 0, 1) * 0 + differences(0.0)
    effect = compare(np.clip(-first, 0, 1), np.clip(first, 0, 1), ids.tolist())["minimum_detectable"]
    found = 0
    for _ in range(300):
        drawn = differences(effect)
        found += compare(np.maximum(-drawn, zero), np.maximum(drawn, zero), ids.tolist())["verdict"] == "gain"
    assert 0.65 < found / 300 < 0.92
