"""Thresholds, tests and intervals against brute force and against their promises."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from whetstone.evals.contamination import calibration
from whetstone.evals.contamination.calibration import Power, auc, holm, permutation_p, power, threshold, tpr_at_fpr
from whetstone.evals.contamination.detectors import exchangeability
from whetstone.evals.contamination.verdict import CONTAMINATED, NO_EVIDENCE, NO_POWER, findings, overall
from whetstone.evals.statistics import Interval

TRIALS = 500
SCORES = st.lists(st.integers(0, 6), min_size=2, max_size=8)


@settings(max_examples=20, deadline=None)
@given(SCORES, SCORES)
def test_the_permutation_p_is_that_of_all_assignments(items: list[int], twins: list[int]) -> None:
    ranks = stats.rankdata(items + twins)
    observed = ranks[: len(items)].sum()
    sums = [ranks[list(each)].sum() for each in combinations(range(len(ranks)), len(items))]
    exact = np.mean(np.array(sums) >= observed - 1e-9)
    assert permutation_p(items, twins) == pytest.approx(exact, abs=4 * (0.25 / 9999) ** 0.5 + 2e-4)


def test_under_no_difference_small_p_values_are_as_rare_as_they_say() -> None:
    generator = np.random.default_rng(0)
    p = np.array(
        [permutation_p(*np.split(generator.normal(size=36), [12]), seed=trial, draws=99) for trial in range(TRIALS)]
    )
    for level in (0.01, 0.05, 0.2, 0.5):
        # exact, so at most the level, up to four standard errors of the trials
        assert (p <= level).mean() <= level + 4 * (level * (1 - level) / TRIALS) ** 0.5
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_the_order_test_is_uniform_under_exchangeable_items() -> None:
    generator = np.random.default_rng(1)
    p = np.array(
        [exchangeability.permutation_p(generator.normal(size=(8, 6)), seed=trial, draws=99) for trial in range(TRIALS)]
    )
    assert stats.kstest(p, "uniform").pvalue > 0.001
    t = np.array([exchangeability.sharded_t_p(generator.normal(size=(20, 6))) for _ in range(TRIALS)])
    assert (t <= 0.05).mean() < 0.095
    lead = generator.normal(size=(20, 6))
    lead[:, 0] += 2
    assert exchangeability.permutation_p(lead) < 0.001 and exchangeability.sharded_t_p(lead) < 0.001


def test_a_shard_whose_orders_are_all_alike_says_nothing() -> None:
    flat = [[-3.0] * 6] * 4
    assert exchangeability.score(flat[0]) == 0.0
    assert exchangeability.permutation_p(flat) == 1.0 and exchangeability.sharded_t_p(flat) == 1.0
    assert exchangeability.orders()[0] == (0, 1, 2) and len(set(exchangeability.orders())) == 6


def test_the_threshold_keeps_its_rate() -> None:
    generator = np.random.default_rng(2)
    for size in (19, 39, 60):
        alarms = [generator.normal() > threshold(generator.normal(size=size).tolist()) for _ in range(1500)]
        assert 0.02 < np.mean(alarms) <= 0.05 + 4 * (0.05 * 0.95 / 1500) ** 0.5
    assert threshold([1.0] * 18) == np.inf


@settings(deadline=None)
@given(SCORES, SCORES)
def test_auc_counts_pairs(members: list[int], fresh: list[int]) -> None:
    pairs = [(m > f) + 0.5 * (m == f) for m in members for f in fresh]
    found = auc(members, fresh)
    assert found.mean == pytest.approx(np.mean(pairs))
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.high > found.low


def test_auc_interval_covers() -> None:
    generator = np.random.default_rng(3)
    true = float(stats.norm.cdf(1 / 2**0.5))
    inside = 0
    for _ in range(100):
        found = auc(generator.normal(1, 1, 24).tolist(), generator.normal(0, 1, 60).tolist())
        inside += found.low <= true <= found.high
    assert inside / 100 > 0.88


def test_tpr_of_members_that_are_like_the_rest_is_no_power() -> None:
    generator = np.random.default_rng(4)
    shown = 0
    for _ in range(100):
        shown += power(generator.normal(size=24).tolist(), generator.normal(size=60).tolist(), 60, 120).shown
    assert shown / 100 < 0.08
    clear = power(generator.normal(3, 1, 24).tolist(), generator.normal(size=60).tolist(), 60, 120)
    assert clear.shown and clear.tpr.mean > 0.7 and clear.set_power == 1.0
    few = tpr_at_fpr([9.0] * 10, [0.0] * 10)  # too few non-members for any threshold
    assert few.mean == 0.0


def test_set_power_of_equal_groups_is_about_the_level() -> None:
    generator = np.random.default_rng(5)
    common = generator.normal(size=2000)
    found = power(common.tolist(), common.tolist(), 40, 80)
    assert found.set_power == pytest.approx(0.05, abs=0.045)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    ours = holm({str(i): p for i, p in enumerate(p_values)})
    assert list(ours.values()) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_words_of_the_verdict() -> None:
    strong = {16: _power(0.5, 0.9), 4: _power(0.2, 0.85), 1: _power(0.02, 0.1)}
    weak = {16: _power(0.01, 0.2)}
    control = {"full-verbatim": {"loss": strong, "min_k": weak}}
    silent = findings({"loss": 0.4, "min_k": 0.001}, control)
    assert [each.word for each in silent] == [NO_EVIDENCE, NO_POWER]
    assert silent[0].sentence() == "no evidence (power 0.85 at 4 copies)"
    assert overall(silent) == "no evidence: the most sensitive detector, loss, has power 0.85 at 4 copies"
    # a detector without power is not asked, so it cannot weigh on the others: 0.04 alone is 0.04 after Holm
    guilty = findings({"loss": 0.04, "min_k": 0.9}, control)
    assert [each.word for each in guilty] == [CONTAMINATED, NO_POWER]
    assert overall(guilty).startswith("contaminated: loss")
    nothing = findings({"loss": 0.001}, {"full-verbatim": {"loss": weak}})
    assert overall(nothing).startswith("no power here")
    assert all("clean" not in overall(each) for each in (silent, guilty, nothing))


def test_power_may_show_on_another_sibling_and_for_right_and_wrong_on_sets_alone() -> None:
    weak, sets = _power(0.0, 0.1), _power(0.0, 0.9, auc_low=0.6)
    only_rl = {"rl-verbatim": {"twin_gap": {4: sets, 16: sets}}, "full-verbatim": {"twin_gap": {4: sets, 16: weak}}}
    (found,) = findings({"twin_gap": 0.5}, only_rl)
    assert found.sentence() == "no evidence (power 0.90 at 16 copies, rl-verbatim)"
    assert overall([found]).endswith("twin_gap, has power 0.90 at 16 copies, rl-verbatim")
    (found,) = findings({"twin_gap": 0.5}, {"full-verbatim": {"twin_gap": {4: sets, 16: weak}}})
    assert found.word == NO_POWER  # only the largest dose counts for sets
    (found,) = findings({"loss": 0.5}, {"full-verbatim": {"loss": {16: sets}}})
    assert found.word == NO_POWER  # and only for scores that are right or wrong


def _power(low: float, set_power: float, auc_low: float = 0.4) -> Power:
    return Power(Interval(low + 0.1, low, 1.0, 24), Interval(0.7, auc_low, 0.8, 24), set_power, 60)


def test_the_seed_of_a_test_is_fixed() -> None:
    assert calibration.permutation_p([1, 2, 3], [0, 1, 2]) == calibration.permutation_p([1, 2, 3], [0, 1, 2])
