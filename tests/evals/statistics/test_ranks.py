"""Rank intervals: ties, order, true ranks held, clusters."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from whetstone.evals.statistics import accuracy_interval, compare, rank_intervals


def by_name(rows: list[dict[str, object]]) -> dict[str, tuple[object, object, object]]:
    return {str(row["name"]): (row["rank"], row["rank_low"], row["rank_high"]) for row in rows}


def test_equal_entrants_share_all_their_ranks() -> None:
    scores = [0, 1, 1, 0, 1] * 20
    found = by_name(rank_intervals({"a": scores, "b": scores, "worse": [0] * 100}))
    assert found["a"] == found["b"] == (1, 1, 2) and found["worse"] == (3, 3, 3)


def test_rows_are_in_order_and_plain() -> None:
    generator = np.random.default_rng(0)
    scores = {name: (generator.random(500) < rate).astype(int) for name, rate in (("c", 0.3), ("a", 0.9), ("b", 0.6))}
    rows = rank_intervals(scores)
    assert [row["name"] for row in rows] == ["a", "b", "c"] and [row["rank"] for row in rows] == [1, 2, 3]
    assert all(row["rank_low"] == row["rank"] == row["rank_high"] for row in rows)
    assert {key: rows[0][key] for key in ("mean", "low", "high", "n")} == accuracy_interval(scores["a"]).to_dict()
    assert json.loads(json.dumps(rows)) == rows == rank_intervals(scores)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 4), min_size=1, max_size=30), st.permutations(range(4)))
def test_ranks_do_not_depend_on_the_order_of_entrants(items: list[tuple[float, ...]], order: list[int]) -> None:
    matrix = np.array(items)
    found = by_name(rank_intervals({str(i): matrix[:, i] for i in range(4)}, resamples=100))
    assert found == by_name(rank_intervals({str(i): matrix[:, i] for i in order}, resamples=100))
    for rank, low, high in found.values():
        assert 1 <= low <= rank <= high <= 4  # type: ignore[operator]


def test_two_entrants_are_apart_where_their_comparison_says_so() -> None:
    generator = np.random.default_rng(0)
    agreed = 0
    for _ in range(100):
        before, after = generator.integers(0, 2, 200), (generator.random(200) < 0.6).astype(int)
        apart = by_name(rank_intervals({"x": before, "y": after}, resamples=1000))["x"] != (2, 1, 2)
        apart = apart and by_name(rank_intervals({"x": before, "y": after}, resamples=1000))["x"][1] == 2
        agreed += apart == (compare(before, after)["verdict"] == "gain")
    assert agreed >= 93  # the exact test is a little more careful


def test_few_items_prove_nothing() -> None:
    assert by_name(rank_intervals({"x": [1], "y": [0]})) == {"x": (1, 1, 2), "y": (2, 1, 2)}
    # no resample differs from another, and yet three items are few
    assert by_name(rank_intervals({"x": [1] * 3, "y": [0] * 3})) == {"x": (1, 1, 2), "y": (2, 1, 2)}
    assert by_name(rank_intervals({"x": [1] * 9, "y": [0] * 9}, [0, 0, 0, 1, 1, 1, 2, 2, 2]))["x"] == (1, 1, 1)
    assert by_name(rank_intervals({"x": [1] * 9, "y": [0] * 9}, ["same"] * 9))["x"] == (1, 1, 2)


def test_common_luck_cancels_and_clusters_widen() -> None:
    generator = np.random.default_rng(1)
    ids = np.arange(12).repeat(40)
    ease = stats.norm.cdf(1.2 * generator.normal(size=12))[ids]
    luck = generator.random(480)
    better, worse = (luck < ease).astype(int), (luck < ease - 0.03).astype(int)
    # the same luck on each item: a small difference is a sure one, although both accuracies vary by 10 points
    assert by_name(rank_intervals({"x": better, "y": worse}))["x"] == (1, 1, 1)
    failing = np.where(ids < 2, 0, better)  # fails on two documents, the same on ten
    alone = by_name(rank_intervals({"x": better, "y": failing}))
    together = by_name(rank_intervals({"x": better, "y": failing}, ids.tolist()))
    assert alone["x"] == (1, 1, 1) and together["x"] == (1, 1, 2)


@pytest.mark.parametrize("rates", [(0.4, 0.45, 0.5, 0.55), (0.5, 0.5, 0.5, 0.5), (0.3, 0.5, 0.5, 0.7)])
def test_rank_intervals_hold_all_true_ranks(rates: tuple[float, ...]) -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(80):
        scores = {str(i): (generator.random(200) < rate).astype(int) for i, rate in enumerate(rates)}
        rows = by_name(rank_intervals(scores, resamples=400))
        for i, rate in enumerate(rates):
            best, worst = 1 + sum(each > rate for each in rates), sum(each >= rate for each in rates)
            held += rows[str(i)][1] <= best and worst <= rows[str(i)][2]  # type: ignore[operator]
    assert held / 320 > 0.93


def test_rank_intervals_refuse() -> None:
    with pytest.raises(ValueError, match="no entrants"):
        rank_intervals({})
    with pytest.raises(ValueError, match="same items"):
        rank_intervals({"a": [0, 1], "b": [0]})
    with pytest.raises(ValueError, match="between 0 and 1"):
        rank_intervals({"a": [0, 2]})
    assert by_name(rank_intervals({"only": [0, 1, 1]})) == {"only": (1, 1, 1)}
