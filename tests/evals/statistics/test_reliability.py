"""Reliability bins and calibration error against direct sums and models of known calibration."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whetstone.evals.statistics import accuracy_interval, reliability


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=40), st.integers(1, 12))
def test_bins_and_ece_are_the_plain_sums(rows: list[tuple[float, int]], bins: int) -> None:
    found = reliability([c for c, _ in rows], [r for _, r in rows], bins=bins, resamples=50)
    assert sum(each.accuracy.n for each in found.bins) == len(rows)
    expected = 0.0
    for each in found.bins:
        inside = [(c, r) for c, r in rows if min(int(c * bins), bins - 1) / bins == each.low]
        assert each.accuracy == accuracy_interval([r for _, r in inside])
        assert each.confidence == pytest.approx(np.mean([c for c, _ in inside]))
        assert each.low <= each.confidence + 1e-9 and each.confidence <= each.high + 1e-9
        expected += len(inside) / len(rows) * abs(each.accuracy.mean - each.confidence)
    assert found.ece.mean == pytest.approx(expected, abs=1e-12)
    assert 0 <= found.ece.low <= found.ece.mean <= found.ece.high <= 1
    assert json.loads(json.dumps(found.to_dict()))["ece"]["n"] == len(rows)


def test_a_calibrated_model_is_not_accused() -> None:
    generator = np.random.default_rng(0)
    accused = 0
    for _ in range(200):
        confidence = generator.beta(2, 1, 150)
        found = reliability(confidence, generator.random(150) < confidence, resamples=200)
        accused += found.ece.low > 0
        assert found.ece.mean > 0.02  # the plain figure is far above its true value of 0
    assert accused / 200 < 0.09


def test_an_overconfident_model_is() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.beta(2, 1, 800)
    found = reliability(confidence, generator.random(800) < np.clip(confidence - 0.2, 0, 1))
    assert found.ece.low > 0.1 and found.ece_if_calibrated < found.ece.mean < 0.25
    assert found.bins[-1].low == 0.9 and found.bins[-1].high == 1.0


def test_clusters_widen_the_error() -> None:
    generator = np.random.default_rng(0)
    ids = np.arange(20).repeat(20)
    confidence = np.full(400, 0.7)
    right = generator.random(400) < np.clip(0.5 + 0.3 * generator.normal(size=20), 0, 1)[ids]
    alone, together = reliability(confidence, right), reliability(confidence, right, ids.tolist())
    assert together.ece.mean == pytest.approx(alone.ece.mean) and together.ece.high > alone.ece.high + 0.03
    assert together.bins[0].accuracy == accuracy_interval(right, ids.tolist())
    own = [""] * 400
    assert reliability(confidence, right, own).to_dict() == alone.to_dict()


def test_reliability_refuses() -> None:
    for confidences, right, bins, message in [
        ([], [], 10, "no confidences"),
        ([0.5], [1, 0], 10, "1 confidences for 2"),
        ([1.5], [1], 10, "between 0 and 1"),
        ([0.5], [0.5], 10, "0 or 1"),
        ([math.nan], [1], 10, "finite"),
        ([0.5], [1], 0, "one bin"),
    ]:
        with pytest.raises(ValueError, match=message):
            reliability(confidences, right, bins=bins)
    with pytest.raises(ValueError, match="no cluster id"):
        reliability([0.5], [1], [None])
