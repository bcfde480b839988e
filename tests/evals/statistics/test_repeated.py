"""pass@k, pass^k and votes against all subsets; seeds against statsmodels' analysis of variance."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from whetstone.evals.statistics import (
    Ballot,
    maj_at_k,
    maj_at_k_curve,
    pass_at_k,
    pass_at_k_curve,
    pass_hat_k,
    pass_hat_k_curve,
    seed_spread,
    wilson,
)


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


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_hat_k_equals_all_subsets(ncks: tuple[int, int, int]) -> None:
    n, c, k = ncks
    subsets = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_hat_k(n, c, k) == pytest.approx(sum(map(all, subsets)) / len(subsets), abs=1e-12)
    assert pass_hat_k(n, c, k) == pytest.approx(1 - pass_at_k(n, n - c, k), abs=1e-12)  # all right: none wrong


def test_pass_hat_k_refuses_extrapolation() -> None:
    for n, c, k in [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0)]:
        with pytest.raises(ValueError, match="cannot be estimated"):
            pass_hat_k(n, c, k)


def test_pass_hat_k_curve_falls_from_pass_at_1() -> None:
    generator = np.random.default_rng(0)
    counts = [(16, int(c)) for c in generator.binomial(16, generator.beta(2, 0.5, 60))]
    curve = pass_hat_k_curve(counts, [1, 2, 4, 8])
    means = [point["mean"] for point in curve]
    assert means == sorted(means, reverse=True) and curve[0] == pass_at_k_curve(counts, [1])[0]
    assert curve[1]["mean"] == pytest.approx(np.mean([c * (c - 1) / (n * (n - 1)) for n, c in counts]))
    with pytest.raises(ValueError, match="no problems"):
        pass_hat_k_curve([], [1])


def test_bands_are_wider_when_problems_share_their_luck() -> None:
    counts = [(8, c) for c in (1, 7, 3, 8, 0, 5, 2, 6) for _ in range(20)]
    ids = [i // 20 for i in range(160)]
    alone, together = pass_at_k_curve(counts, [1])[0], pass_at_k_curve(counts, [1], clusters=ids)[0]
    assert together["mean"] == alone["mean"] and together["high"] - together["low"] > 3 * (alone["high"] - alone["low"])


# -- votes ---------------------------------------------------------------------------------------------------


def _vote(answers: tuple[int, ...], right: tuple[bool, ...]) -> Fraction:
    counted = Counter(answer for answer in answers if answer >= 0)
    if not counted:
        return Fraction(0)
    most = max(counted.values())
    winners = [answer for answer, count in counted.items() if count == most]
    return Fraction(sum(right[answer] for answer in winners), len(winners))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=4), st.integers(0, 3), st.data())
def test_maj_at_k_equals_all_subsets(answers: list[tuple[int, bool]], silent: int, data: st.DataObject) -> None:
    ballot = Ballot(tuple(count for count, _ in answers), tuple(right for _, right in answers), silent)
    samples = [place for place, (count, _) in enumerate(answers) for _ in range(count)] + [-1] * silent
    if not samples:
        return
    k = data.draw(st.integers(1, min(len(samples), 6)))
    subsets = list(itertools.combinations(samples, k))
    expected = sum((_vote(subset, ballot.right) for subset in subsets), Fraction(0)) / len(subsets)
    assert maj_at_k(ballot, k) == pytest.approx(float(expected), abs=1e-12)


def test_maj_at_k_of_many_samples_and_its_curve() -> None:
    assert maj_at_k(Ballot((100, 90, 66), (True, False, False)), 1) == pytest.approx(100 / 256)
    assert maj_at_k(Ballot((100, 90, 66), (True, False, False)), 256) == 1
    ballots = [Ballot((9, 4, 3), (True, False, False)), Ballot((9, 4, 3), (False, True, False)), Ballot((), (), 16)]
    curve = maj_at_k_curve(ballots, [1, 4, 16])
    assert [row["k"] for row in curve] == [1, 4, 16] and curve[0]["mean"] == pytest.approx((9 + 4) / 16 / 3)
    assert curve[2]["mean"] == pytest.approx(1 / 3)


def test_maj_at_k_refuses() -> None:
    with pytest.raises(ValueError, match="cannot be estimated"):
        maj_at_k(Ballot((2, 1), (True, False)), 4)
    with pytest.raises(ValueError, match="no problems"):
        maj_at_k_curve([], [1])
    for counts, right, silent in [((1,), (), 0), ((0,), (True,), 0), ((1,), (True,), -1)]:
        with pytest.raises(ValueError, match="count of at least 1"):
            Ballot(counts, right, silent)


# -- seeds ---------------------------------------------------------------------------------------------------


def test_seed_spread_agrees_with_anova() -> None:
    generator = np.random.default_rng(4)
    scores = generator.normal(size=(4, 1)) * 0.3 + generator.normal(size=(1, 25)) + generator.normal(size=(4, 25))
    found = seed_spread(scores)
    seeds, items = np.indices(scores.shape).reshape(2, -1)
    frame = pandas.DataFrame({"score": scores.ravel(), "seed": seeds, "item": items})
    table = anova_lm(ols("score ~ C(seed) + C(item)", frame).fit())
    squares = table["sum_sq"] / table["df"]
    between = (squares["C(seed)"] - squares["Residual"]) / 25
    assert found.seed_sd == pytest.approx(math.sqrt(max(0, between)))
    assert found.noise_sd == pytest.approx(math.sqrt(squares["Residual"] / 25))
    assert found.p == pytest.approx(table["PR(>F)"]["C(seed)"])
    low, high = stats.t.interval(0.95, 3, scores.mean(), stats.sem(scores.mean(axis=1)))
    assert (found.low, found.high) == pytest.approx((low, high)) and found.label == "4 seeds"


def test_seed_spread_takes_item_noise_out() -> None:
    generator = np.random.default_rng(0)
    squares = {0.0: [], 0.04: []}
    for true, found in squares.items():
        for _ in range(300):
            rates = generator.beta(2, 2, (1, 200)) + true * generator.normal(size=(4, 1))
            found.append(seed_spread((generator.random((4, 200)) < rates).astype(int)).seed_sd ** 2)  # type: ignore[operator]
    # cutting at 0 leaves a little where there is none; the scatter of seeds' means alone would be 0.032 there
    assert math.sqrt(np.mean(squares[0.0])) < 0.021 and math.sqrt(np.mean(squares[0.04])) == pytest.approx(
        0.04, abs=0.005
    )


def test_one_seed_says_nothing_about_seeds() -> None:
    found = seed_spread([[0, 1, 1, 0, 1]])
    assert found.label == "single seed" and found.mean == 0.6 and found.seeds == 1 and found.n == 5
    assert found.low is found.high is found.seed_sd is found.noise_sd is found.p is None
    assert found.item_se == pytest.approx(stats.sem([0, 1, 1, 0, 1]))
    assert json.loads(json.dumps(found.to_dict()))["label"] == "single seed"


def test_seed_spread_of_equal_trainings_and_of_nonsense() -> None:
    same = seed_spread([[0, 1, 1, 0]] * 3)
    assert same.seed_sd == 0 and same.p == 1 and same.low == same.mean == same.high
    apart = seed_spread([[0, 0, 0], [1, 1, 1]])
    assert apart.p == 0 and apart.seed_sd == pytest.approx(math.sqrt(0.5))
    for wrong in ([], [0, 1], [[0]], [[0, math.nan]]):
        with pytest.raises(ValueError, match="scores must be finite"):
            seed_spread(wrong)
