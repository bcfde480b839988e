"""Logistic regression with an L2 penalty and Platt's calibration, both to their optimum: convex, so deterministic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import expit

Floats = NDArray[np.float64]
FLATTEST = 0.01  # of a calibration: a flatter one, or a falling one, would turn the order of the scores around
EXACT, ROUGH = 1e-12, 1e-7  # relative change of the loss at which it is done; rough: for comparisons, twice as fast
_STEPS = 1000


@dataclass(frozen=True)
class Linear:
    """z = x weight + bias; weight [F]."""

    weight_F: Floats
    bias: float

    def __call__(self, features_NF: Floats) -> Floats:
        """The logits [N]."""
        return features_NF @ self.weight_F + self.bias


def fit(
    features_NF: Floats,
    right_N: Floats,
    weights_N: Floats,
    l2: float,
    stretch_F: Floats | None = None,
    tolerance: float = EXACT,
) -> Linear:
    """The minimum of sum_n weight_n [log(1 + e^z_n) - right_n z_n] / sum_n weight_n + l2 / 2 |w|^2, where w is taken
    on features with mean 0 and variance 1 (each column's own, of these rows) and the bias is free.

    stretch_F: standard deviations of the columns where not 1; a column of 3 pays a ninth of the penalty for the same
    say. right_N: 0/1 or shares. The result takes features as they come. ValueError unless there are rows of both kinds.
    """
    if not 0 < float(right_N @ weights_N) < float(weights_N.sum()):
        raise ValueError("rows of both kinds are needed")
    share_N = weights_N / weights_N.sum()
    mean_F = share_N @ features_NF
    spread_F = np.sqrt(share_N @ (features_NF - mean_F) ** 2)
    # a column that hardly moves would be blown up to noise; it gets no say instead
    scale_F = np.where(spread_F > 1e-6 * (1 + np.abs(mean_F)), 1 / np.maximum(spread_F, 1e-30), 0.0)
    scale_F = scale_F if stretch_F is None else scale_F * stretch_F
    x_NF = (features_NF - mean_F) * scale_F

    def loss(parameters: Floats) -> tuple[float, Floats]:
        return penalised_loss(parameters, x_NF, right_N, share_N, l2)

    options = {"maxiter": _STEPS, "ftol": tolerance, "gtol": 1e-7}
    found = optimize.minimize(loss, np.zeros(x_NF.shape[1] + 1), jac=True, method="L-BFGS-B", options=options).x
    weight_F = found[:-1] * scale_F
    return Linear(weight_F, float(found[-1] - mean_F @ weight_F))


def penalised_loss(
    parameters: Floats, x_NF: Floats, right_N: Floats, share_N: Floats, l2: float
) -> tuple[float, Floats]:
    """The value that `fit` minimises and its gradient [F + 1]; the last parameter is the bias."""
    weight_F = parameters[:-1]
    z_N = x_NF @ weight_F + parameters[-1]
    value = float(share_N @ (np.logaddexp(0, z_N) - right_N * z_N)) + l2 / 2 * float(weight_F @ weight_F)
    error_N = share_N * (expit(z_N) - right_N)
    return value, np.append(x_NF.T @ error_N + l2 * weight_F, error_N.sum())


def log_loss(logits_N: Floats, right_N: Floats) -> float:
    """Mean of -log p(what came true), nats."""
    return float(np.mean(np.logaddexp(0, logits_N) - right_N * logits_N))


def platt(logits_N: Floats, right_N: Floats) -> tuple[float, float]:
    """(slope, shift) such that expit(slope z + shift) is calibrated (Platt 1999), his targets included: (n1 + 1) /
    (n1 + 2) for what is right and 1 / (n0 + 2) for what is wrong, which keeps rows that a line can part from asking for
    an endless slope. The slope is at least `FLATTEST`, so that the order stays."""
    good = float(right_N.sum())
    bad = len(right_N) - good
    target_N = np.where(right_N > 0.5, (good + 1) / (good + 2), 1 / (bad + 2))

    def loss(pair: Floats) -> tuple[float, Floats]:
        z_N = pair[0] * logits_N + pair[1]
        error_N = (expit(z_N) - target_N) / len(target_N)
        return log_loss(z_N, target_N), np.array([error_N @ logits_N, error_N.sum()])

    bounds = [(FLATTEST, None), (None, None)]
    slope, shift = optimize.minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(slope), float(shift)
