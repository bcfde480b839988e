"""Intervals of one mean against statsmodels, scipy and exact coverage."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.api import OLS
from statsmodels.stats.proportion import proportion_confint

from whetstone.evals.statistics import (
    Interval,
    accuracy_interval,
    beta_binomial,
    cluster_bootstrap,
    clustered_error,
    mean_interval,
    resampling,
    standard_error,
    wilson,
)
from whetstone.evals.statistics.resampling import bootstrap_means


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


@pytest.mark.parametrize("n", [1, 7, 60, 299])
def test_beta_binomial_is_the_narrowest_interval_with_95_percent_of_the_posterior(n: int) -> None:
    for k in sorted({0, 1, n // 3, n // 2, n - 1, n}):
        ours, posterior = beta_binomial(k, n), stats.beta(k + 1, n - k + 1)
        assert posterior.cdf(ours.high) - posterior.cdf(ours.low) == pytest.approx(0.95, abs=1e-9)
        assert 0 <= ours.low <= ours.mean <= ours.high <= 1
        lefts = np.linspace(0, 0.05, 2001)
        narrowest = float((posterior.ppf(lefts + 0.95) - posterior.ppf(lefts)).min())
        assert ours.high - ours.low <= narrowest + 1e-6
    with pytest.raises(ValueError, match="not possible"):
        beta_binomial(n + 1, n)


def test_beta_binomial_holds_what_was_seen_at_the_ends() -> None:
    # the posterior at 0 right is Beta(1, n + 1), whose 95 % point has a closed form
    assert (beta_binomial(0, 20).low, beta_binomial(20, 20).high) == (0.0, 1.0)
    assert beta_binomial(0, 20).high == pytest.approx(1 - 0.05 ** (1 / 21))
    assert beta_binomial(20, 20).low == pytest.approx(0.05 ** (1 / 21))
    nothing = beta_binomial(0, 0)
    assert math.isnan(nothing.mean) and (nothing.low, nothing.high) == (0.0, 1.0)


@pytest.mark.parametrize("n", [10, 30, 100])
def test_beta_binomial_covers_as_its_docstring_says(n: int) -> None:
    rates = np.linspace(0.0005, 0.9995, 2000)
    chances = stats.binom.pmf(np.arange(n + 1)[:, None], n, rates)
    bounds = [beta_binomial(k, n) for k in range(n + 1)]
    held = np.array([(b.low <= rates) & (rates <= b.high) for b in bounds])
    coverage = (chances * held).sum(axis=0)
    assert coverage.mean() == pytest.approx(0.95, abs=0.001)
    assert coverage.min() == pytest.approx({10: 0.889, 30: 0.914, 100: 0.921}[n], abs=0.002)


def _fit(values: np.ndarray, codes: np.ndarray) -> Any:
    return OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6)), min_size=3, max_size=60))
def test_clustered_error_agrees_with_statsmodels(rows: list[tuple[float, int]]) -> None:
    values, codes = np.array([value for value, _ in rows]), np.array([code for _, code in rows])
    if len(set(codes)) < 2:
        return
    names = [f"template {code}" for code in codes]
    assert clustered_error(values, names) == pytest.approx(float(_fit(values, codes).bse[0]), abs=1e-10)


def test_mean_interval_agrees_with_statsmodels_and_scipy() -> None:
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 12, 200)
    values = generator.normal(size=200) + 0.7 * generator.normal(size=12)[codes]
    ours = mean_interval(values, codes.tolist())
    assert (ours.low, ours.high) == pytest.approx(tuple(_fit(values, codes).conf_int()[0]), abs=1e-9)
    assert ours.method == "t over 12 clusters" and ours.n == 200
    plain = mean_interval(values)
    low, high = stats.t.interval(0.95, 199, values.mean(), values.std(ddof=1) / math.sqrt(200))
    assert (plain.low, plain.high) == pytest.approx((low, high), abs=1e-12)
    assert standard_error(values) == pytest.approx(float(stats.sem(values)))


def test_clusters_of_one_are_no_clusters() -> None:
    values = np.random.default_rng(1).random(40)
    alone = [f"item {i}" for i in range(40)]
    assert clustered_error(values, alone) == pytest.approx(standard_error(values))
    assert mean_interval(values, alone) == mean_interval(values, [""] * 40) == mean_interval(values)
    assert accuracy_interval(values, alone) == accuracy_interval(values)


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_missing_cluster_is_an_error_everywhere(missing: Any) -> None:
    scores, ids = [0, 1, 1], ["a", missing, "a"]
    for work in (clustered_error, mean_interval, accuracy_interval, cluster_bootstrap):
        with pytest.raises(ValueError, match="item 1 has no cluster id"):
            work(scores, ids)
        with pytest.raises(ValueError, match="2 cluster ids for 3 items"):
            work(scores, ["a", "b"])
    with pytest.raises(ValueError, match="one cluster says nothing"):
        clustered_error(scores, ["a", "a", "a"])


def test_clusters_never_make_an_interval_narrower_than_single_items() -> None:
    # every cluster holds one right and one wrong answer: the clustered standard error is 0
    scores, ids = [0, 1] * 50, [i // 2 for i in range(100)]
    assert clustered_error(scores, ids) == 0
    assert accuracy_interval(scores, ids) == wilson(50, 100)
    assert mean_interval(scores, ids) == mean_interval(scores)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(0, 5)), min_size=1, max_size=40))
def test_accuracy_interval_holds_the_mean_and_is_symmetric(rows: list[tuple[float, int]]) -> None:
    scores, ids = [score for score, _ in rows], [code for _, code in rows]
    for clusters in (None, ids):
        found = accuracy_interval(scores, clusters)
        assert 0 <= found.low <= found.mean <= found.high <= 1 and found.high > found.low
        mirrored = accuracy_interval([1 - score for score in scores], clusters)
        assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((found.low, found.high), abs=1e-9)
    alone, together = accuracy_interval(scores), accuracy_interval(scores, ids)
    assert together.high - together.low >= alone.high - alone.low - 1e-9


def test_the_rule_by_which_an_accuracy_gets_its_interval() -> None:
    small, large = [1, 0, 0] * 99, [1, 0, 0] * 100
    assert accuracy_interval(small) == wilson(99, 297) and accuracy_interval(small).method == "Wilson over items"
    assert accuracy_interval(large) == mean_interval(large) and accuracy_interval(large).method == "t over items"
    rare = [1] * 29 + [0] * 971  # many items, but the normal distribution would not do
    assert accuracy_interval(rare) == wilson(29, 1000)
    for k in (0, 500):
        assert accuracy_interval([int(i < k) for i in range(500)]) == wilson(k, 500)
    ids = [i // 10 for i in range(300)]
    generator = np.random.default_rng(0)
    clustered = accuracy_interval((generator.random(30) < 0.4).repeat(10).tolist(), ids)
    assert clustered.method == "Wilson over 30 clusters" and clustered.n == 300
    assert accuracy_interval(large, ["same"] * 300).method == "t over items of one cluster"
    assert accuracy_interval([0.5]).low == accuracy_interval([[0, 1]]).low == pytest.approx(wilson(1, 2).low, abs=0.1)


def test_fully_dependent_clusters_count_as_one_item_each() -> None:
    generator = np.random.default_rng(3)
    single = (generator.random(400) < 0.4).astype(int)
    many = accuracy_interval(single.repeat(7), np.arange(400).repeat(7).tolist())
    one = accuracy_interval(single)
    assert (many.low, many.high) == pytest.approx((one.low, one.high), abs=1e-9)
    right = accuracy_interval([1] * 70, [i // 7 for i in range(70)])  # nothing is known of how they go together
    assert 1 - right.low > 1 - wilson(10, 10).low


def test_samples_of_an_item_are_averaged_first() -> None:
    samples = np.random.default_rng(0).integers(0, 2, (50, 4))
    found = accuracy_interval(samples)
    assert found == accuracy_interval(samples.mean(axis=1)) and found.n == 50
    assert mean_interval(samples) == mean_interval(samples.mean(axis=1))


@pytest.mark.parametrize("scores", [[], [0, 2], [-1, 0], [math.nan, 1], np.zeros((2, 2, 2))])
def test_accuracy_interval_refuses(scores: Any) -> None:
    with pytest.raises(ValueError):
        accuracy_interval(scores)


def test_cluster_bootstrap_draws_whole_clusters_and_repeats() -> None:
    generator = np.random.default_rng(5)
    ids = generator.integers(0, 60, 600)
    values = generator.random(600) + generator.normal(0, 0.5, 60)[ids]
    found = cluster_bootstrap(values, ids.tolist())
    formula = clustered_error(values, ids.tolist())
    assert found.high - found.low == pytest.approx(2 * 1.96 * formula, rel=0.1)
    assert found == cluster_bootstrap(values, ids.tolist()) != cluster_bootstrap(values, ids.tolist(), seed=1)
    low, high = stats.bootstrap((values,), np.mean, method="percentile", rng=0).confidence_interval
    plain = cluster_bootstrap(values, None)
    assert (plain.low, plain.high) == pytest.approx((low, high), abs=0.01)
    with pytest.raises(ValueError, match="0 resamples"):
        cluster_bootstrap(values, None, resamples=0)


def test_bootstrap_sums_do_not_depend_on_how_many_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    units = np.random.default_rng(0).integers(0, 9, (50, 3)).astype(float)
    whole = resampling.bootstrap_sums(units, 200)
    monkeypatch.setattr(resampling, "_LARGEST", 1)
    assert (resampling.bootstrap_sums(units, 200) == whole).all()
    assert whole.mean(axis=0) == pytest.approx(units.sum(axis=0), rel=0.03)
    assert resampling.bootstrap_sums(np.ones((50, 1)), 9).tolist() == [[50.0]] * 9
    assert bootstrap_means(units, None, 200) == pytest.approx(whole / 50)
