"""Rules from a table: all cascades that are worth it, and a classifier at every rate of exchange."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, pairwise, product

import numpy as np
from scipy import optimize, special

from whetstone.engine.routing.policy import Cascade, Classifier, Features, Floats
from whetstone.errors import UsageError
from whetstone.evals.routing.outcomes import Ruled, Table, front, ruled

STEPS = 24  # thresholds that are tried for a stage, spread over the confidences that were seen
STAGES = 3  # options that a cascade asks at most; more gain little and are calibrated on luck
PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3)  # of squared weights, per problem; cross-validation takes one
FOLDS = 4
RATES = 64


def cascades(table: Table, steps: int = STEPS, stages: int = STAGES) -> list[Ruled]:
    """The front over every chain of up to `stages` options, the cheaper ones first, at every threshold that matters
    (each confidence that was seen, or `steps` of them). Single options are chains of one."""
    return front([ruled(rule, table) for rule in _all_cascades(table, steps, stages)])


def _all_cascades(table: Table, steps: int, stages: int) -> Iterator[Cascade]:
    order = table.by_cost
    for count in range(1, min(stages, len(order)) + 1):
        for chain in combinations(order, count):
            for thresholds in product(*(_thresholds(table.sure_NO[:, option], steps) for option in chain[:-1])):
                yield Cascade(chain, thresholds)


def _thresholds(sure_N: Floats, steps: int) -> list[float]:
    """Each value as a threshold, but for the least, which takes every answer: the cascade without what comes behind it
    does the same. Among more than `steps` values, those that part the questions evenly."""
    values = np.unique(sure_N)[1:]
    if len(values) > steps:
        values = np.unique(np.quantile(sure_N, np.linspace(0, 1, steps + 1)[1:], method="nearest"))
        values = values[values > sure_N.min()]
    return [float(value) for value in values]


def fitted(table: Table, features: Features, costs_O: Floats) -> Classifier:
    """A classifier at rate 0 from training problems: a ridge logistic regression for each option, its penalty chosen by
    cross-validated likelihood. Where an option was always or never right, that is what is expected of it."""
    features_ND, _ = table.seen[features.kind]
    mean_D, spread_D = features_ND.mean(axis=0), features_ND.std(axis=0)
    scale_D = np.where(spread_D > 1e-9, spread_D, 1.0)
    inputs_ND = (features_ND - mean_D) / scale_D
    fits = [_fit_cross_validated(inputs_ND, right_N) for right_N in table.right_NO.T]
    weights_OD, bias_O = np.array([fit[:-1] for fit in fits]), np.array([fit[-1] for fit in fits])
    return Classifier(features, mean_D, scale_D, weights_OD, bias_O, costs_O, 0.0)


def _fit_cross_validated(inputs_ND: Floats, right_N: Floats) -> Floats:
    fold_N = np.arange(len(right_N)) % FOLDS

    def loss(penalty: float) -> float:
        total = 0.0
        for fold in range(FOLDS):
            held_N = fold_N == fold
            fit = fit_logistic(inputs_ND[~held_N], right_N[~held_N], penalty)
            total += _log_loss(fit, inputs_ND[held_N], right_N[held_N])
        return total

    if len(right_N) < 2 * FOLDS:
        return fit_logistic(inputs_ND, right_N, max(PENALTIES))
    return fit_logistic(inputs_ND, right_N, min(PENALTIES, key=loss))


def fit_logistic(inputs_ND: Floats, right_N: Floats, penalty: float) -> Floats:
    """[D + 1]: weights and bias that minimise the mean log loss plus penalty / 2 times the squared weights. The bias is
    held to what (right + 1/2) / (n + 1) says where all or none are right."""
    count, width = inputs_ND.shape
    if right_N.min() == right_N.max():
        share = (right_N.sum() + 0.5) / (count + 1)
        return np.append(np.zeros(width), special.logit(share))

    def value(fit: Floats) -> tuple[float, Floats]:
        logits_N = inputs_ND @ fit[:-1] + fit[-1]
        error_N = special.expit(logits_N) - right_N
        slope = np.append(inputs_ND.T @ error_N / count + penalty * fit[:-1], error_N.mean())
        return _log_loss(fit, inputs_ND, right_N) / count + penalty / 2 * float(fit[:-1] @ fit[:-1]), slope

    start = np.append(np.zeros(width), special.logit(right_N.mean()))
    found: Floats = optimize.minimize(value, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return found


def _log_loss(fit: Floats, inputs_ND: Floats, right_N: Floats) -> float:
    logits_N = inputs_ND @ fit[:-1] + fit[-1]
    return float((np.logaddexp(0, logits_N) - right_N * logits_N).sum())


def classifiers(base: Classifier, table: Table, rates: int = RATES) -> list[Ruled]:
    """The front of the classifier at every rate of exchange between accuracy and cost at which a choice on this table
    changes (or `rates` of them)."""
    chances_NO = base.chances(table.seen[base.features.kind][0])
    found = {0.0}
    for one, two in combinations(range(len(base.costs_O)), 2):
        apart = base.costs_O[one] - base.costs_O[two]
        if apart != 0:
            crossing_N = (chances_NO[:, one] - chances_NO[:, two]) / apart
            found |= {float(rate) for rate in crossing_N[crossing_N > 0]}
    edges = sorted(found)
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    candidates = [0.0, *middles, 2 * edges[-1] + 1.0 / max(float(base.costs_O.max()), 1e-300)]
    if len(candidates) > rates:
        places = np.linspace(0, len(candidates) - 1, rates).round().astype(int)
        candidates = [candidates[place] for place in places]
    return front([ruled(replace(base, rate=rate), table) for rate in candidates])


def chosen(curve: Sequence[Ruled], want: float | None, budget: float | None, best_single: float) -> Ruled:
    """The point of a front that a user asks for: the cheapest with accuracy `want`, or the most accurate within
    `budget`; by default the cheapest that is as accurate as the best single option.

    Raises UsageError where there is none.
    """
    if budget is not None:
        within = [each for each in curve if each.cost <= budget]
        if not within:
            raise UsageError(f"nothing costs {budget:g} or less: the cheapest option costs {curve[0].cost:.4g}")
        return max(within, key=lambda each: each.accuracy)
    wanted = best_single if want is None else want
    enough = [each for each in curve if each.accuracy >= wanted - 1e-12]
    if not enough:
        most = max(each.accuracy for each in curve)
        raise UsageError(f"no route reaches {100 * wanted:.1f} %: the most accurate one has {100 * most:.1f} %")
    return min(enough, key=lambda each: each.cost)
