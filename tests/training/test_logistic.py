"""The logistic fit and its calibration against other optimisers, finite differences and a known truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import optimize
from scipy.special import expit

from whetstone.training.logistic import FLATTEST, fit, penalised_loss, platt


def data(rows: int = 300, width: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, width)) * np.array([1, 10, 0.1, 3, 1, 1]) + 5
    logits = (features - 5) @ np.array([1, 0.1, -8, 0, 0, 0.5]) - 1
    return features, (generator.random(rows) < expit(logits)).astype(float), generator.random(rows) + 0.1


@pytest.mark.parametrize("l2", [0.3, 0.01, 1e-4])
def test_the_fit_is_the_optimum(l2: float) -> None:
    """Torch's L-BFGS on the plain definition, from another start."""
    features, right, weights = data()
    found = fit(features, right, weights, l2)
    x, y, share = (torch.tensor(each) for each in (features, right, weights / weights.sum()))
    mean = share @ x
    z_score = (x - mean) / (share @ (x - mean) ** 2).sqrt()
    w = torch.full((features.shape[1] + 1,), 0.5, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([w], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        solver.zero_grad()
        z = z_score @ w[:-1] + w[-1]
        loss = share @ (torch.nn.functional.softplus(z) - y * z) + l2 / 2 * w[:-1] @ w[:-1]
        loss.backward()
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    theirs = (z_score @ w[:-1] + w[-1]).detach().numpy()
    np.testing.assert_allclose(found(features), theirs, atol=2e-4)


def test_the_gradient_is_that_of_the_loss() -> None:
    features, right, weights = data(40)
    share, point = weights / weights.sum(), np.random.default_rng(1).normal(size=7) / 10

    def value(p: np.ndarray) -> float:
        return penalised_loss(p, features, right, share, 0.2)[0]

    gradient = penalised_loss(point, features, right, share, 0.2)[1]
    np.testing.assert_allclose(gradient, optimize.approx_fprime(point, value, 1e-7), atol=1e-4)


def test_scale_and_dead_columns_do_not_matter() -> None:
    features, right, weights = data()
    plain = fit(features, right, weights, 0.05)(features)
    scaled = features * np.array([1e3, 1e-3, 1, 1, 1, 1]) + 1e3
    np.testing.assert_allclose(fit(scaled, right, weights, 0.05)(scaled), plain, atol=1e-4)
    padded = np.column_stack([features, np.full(len(features), 7.0)])
    found = fit(padded, right, weights, 0.05)
    assert found.weight_F[-1] == 0
    np.testing.assert_allclose(found(padded), plain, atol=1e-4)
    doubled = fit(np.column_stack([features, *[features[:, :1]] * 8]), right, weights, 0.05)  # nine times the first
    stretched = fit(features, right, weights, 0.05, stretch_F=np.array([3.0, 1, 1, 1, 1, 1]))
    np.testing.assert_allclose(
        stretched(features), doubled(np.column_stack([features, *[features[:, :1]] * 8])), atol=1e-4
    )
    with pytest.raises(ValueError, match="both kinds"):
        fit(features, np.ones(len(features)), weights, 0.1)


def test_calibration_finds_a_known_truth() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=40_000) * 3
    right = (generator.random(40_000) < expit(0.4 * logits - 0.7)).astype(float)
    slope, shift = platt(logits, right)
    assert slope == pytest.approx(0.4, abs=0.02) and shift == pytest.approx(-0.7, abs=0.04)


def test_calibration_keeps_the_order_and_its_head() -> None:
    logits = np.array([-2.0, -1.0, 1.0, 2.0])
    slope, _ = platt(logits, np.array([1.0, 1.0, 0.0, 0.0]))  # all wrong: flat, but not turned around
    assert slope == FLATTEST
    slope, shift = platt(logits, np.array([0.0, 0.0, 1.0, 1.0]))  # can be parted: not an endless slope
    assert 0 < slope < 3
    # at the optimum, probabilities weighed by logits are those of Platt's targets for two of each kind: 3/4 and 1/4
    assert expit(slope * logits + shift) @ logits == pytest.approx(
        np.array([0.25, 0.25, 0.75, 0.75]) @ logits, abs=1e-3
    )
    slope, shift = platt(logits, np.zeros(4))  # nothing right at all
    assert 0 < expit(slope * logits + shift).max() < 0.5
