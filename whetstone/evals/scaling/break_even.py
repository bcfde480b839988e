"""Train or think longer? Two models on the same problems, one trained from the other, at equal total compute.

Training is paid once, thinking with every question. So the answer is a number of questions: below it the base that
thinks longer is the cheaper way to the sharpened model's accuracy, above it training is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from whetstone.evals.scaling.points import Point
from whetstone.evals.scaling.reading import halves
from whetstone.evals.statistics import LEVEL, compare, holm
from whetstone.evals.statistics.clusters import Clusters, Floats
from whetstone.evals.statistics.resampling import bootstrap_means

VOLUMES = tuple(10**power for power in range(9))  # questions asked over the model's life
_TAIL = 0.025


def train_or_think(
    base: Sequence[Point],
    sharpened: Sequence[Point],
    one_off: float,
    cost: str,
    ids: Sequence[str],
    clusters: Sequence[str],
) -> dict[str, Any] | None:
    """The comparison in one `cost` ("flops", "seconds", "usd"), where training cost `one_off` of it; None where that
    or a setting is not known.

    {cost, one_off, target, trained_gain, reached_by, matched_by, best_base, best_trained, break_even, measured_up_to,
    equal_compute}. target: the sharpened model's cheapest honest setting, as a rule greedy. reached_by: the base's
    cheapest setting with at least that accuracy; matched_by: its cheapest that is not distinguishably worse.
    best_trained: the sharpened model at its best, and by how much it beats the base at its best. measured_up_to: the
    number of questions below which the base could have spent more than was measured. break_even and equal_compute: by
    the functions of that name (`at_equal_compute`).
    """
    known: Clusters | None = clusters if any(clusters) else None
    honest = sorted(_priced(base, cost), key=lambda point: point.mean(cost) or 0.0)
    targets = sorted(_priced(sharpened, cost), key=lambda point: point.mean(cost) or 0.0)
    if not honest or not targets:
        return None
    target = next((point for point in targets if point.method == "greedy"), targets[0])
    versus = [compare(point.right_N, target.right_N, known) for point in honest]
    reached = next((place for place, point in enumerate(honest) if point.accuracy >= target.accuracy), None)
    matched = next((place for place, each in enumerate(versus) if each["verdict"] != "gain"), None)
    best = max(range(len(honest)), key=lambda place: honest[place].accuracy)

    def told(place: int | None) -> dict[str, Any] | None:
        if place is None:
            return None
        return {**_setting(honest[place], cost), "trained_better_by": _short(versus[place])}

    most = max(point.mean(cost) or 0.0 for point in honest)
    greedy = next((place for place, point in enumerate(honest) if point.method == "greedy"), 0)
    farthest = max(targets, key=lambda point: point.accuracy)
    ahead = compare(honest[best].right_N, farthest.right_N, known)
    return {
        "cost": cost,
        "one_off": one_off,
        "target": _setting(target, cost),
        "trained_gain": told(greedy),
        "reached_by": told(reached),
        "matched_by": told(matched),
        "best_base": told(best),
        "best_trained": {**_setting(farthest, cost), "better_by": _short(ahead)},
        "break_even": break_even(honest, target, one_off, cost, known),
        "measured_up_to": _questions(one_off, most, target.mean(cost) or 0.0),
        "equal_compute": at_equal_compute(honest, target, one_off, cost, ids, clusters),
    }


def _priced(points: Sequence[Point], cost: str) -> list[Point]:
    return [point for point in points if point.kind == "method" and point.of(cost) is not None]


def _setting(point: Point, cost: str) -> dict[str, Any]:
    return {"name": point.name, "accuracy": point.accuracy, "per_question": point.mean(cost)}


def _short(difference: dict[str, Any]) -> dict[str, Any]:
    return {name: difference[name] for name in ("mean", "low", "high", "p", "verdict")}


def _questions(one_off: float, dear: float, cheap: float) -> float | None:
    """After how many questions `one_off` is earned back by paying `cheap` and not `dear` for each; None: never."""
    return one_off / (dear - cheap) if dear > cheap else None


def break_even(
    base: Sequence[Point], target: Point, one_off: float, cost: str, clusters: Clusters | None
) -> dict[str, Any]:
    """After how many questions training was cheaper than thinking as long as it takes to be as good.

    {questions, low, high, never, unreached}: `low` and `high` hold the middle 95 % of a bootstrap over problems, in
    which the base's cheapest setting that is good enough is chosen anew each time; None stands for no number at all.
    never: share of the resamples in which training is not earned back, the base being as good for less; unreached:
    share in which no measured setting of the base is as good, whatever it costs.
    """
    columns = [target.right_N, target.of(cost), *(p.right_N for p in base), *(p.of(cost) for p in base)]
    values_NM = np.column_stack([column for column in columns if column is not None])
    means_BM = bootstrap_means(values_NM, clusters)
    found = [_break_even(row, len(base), one_off) for row in [values_NM.mean(axis=0), *means_BM]]
    point, resampled = found[0], found[1:]
    # not reached counts as earlier than any number: the base would have to spend more than was measured
    order = sorted(-math.inf if each is None else each for each in resampled)
    low, high = order[int(_TAIL * len(order))], order[-1 - int(_TAIL * len(order))]
    return {
        "questions": _finite(point),
        "low": _finite(low),
        "high": _finite(high),
        "never": sum(each == math.inf for each in resampled) / len(resampled),
        "unreached": sum(each is None for each in resampled) / len(resampled),
    }


def _break_even(means_M: Floats, count: int, one_off: float) -> float | None:
    """Questions, infinity where training is never earned back, None where the base never gets there."""
    right, price = float(means_M[0]), float(means_M[1])
    rights_P, prices_P = means_M[2 : 2 + count], means_M[2 + count :]
    enough_P = rights_P >= right
    if not enough_P.any():
        return None
    questions = _questions(one_off, float(prices_P[enough_P].min()), price)
    return math.inf if questions is None else questions


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else value


def at_equal_compute(
    base: Sequence[Point], target: Point, one_off: float, cost: str, ids: Sequence[str], clusters: Sequence[str]
) -> list[dict[str, Any]]:
    """For each number of questions: what the base does when it may spend as much on each as the trained model does with
    its share of the training.

    {questions, allowance, base, accuracy, trained_better_by, beyond}. The base's setting is chosen on one half of the
    problems and counted on the other, both ways, so that choosing does not flatter it; `base` names the two choices.
    All numbers of questions are one family: trained_better_by's `p_holm` is Holm's, and its verdict goes by it.
    beyond: the allowance exceeds everything that was measured.
    """
    side_N = halves(ids, clusters)
    known: Clusters | None = clusters if any(clusters) else None
    most = max(point.mean(cost) or 0.0 for point in base)
    rows = []
    for questions in VOLUMES:
        allowance = (target.mean(cost) or 0.0) + one_off / questions
        allowed = [point for point in base if (point.mean(cost) or 0.0) <= allowance]
        row: dict[str, Any] = {"questions": questions, "allowance": allowance, "beyond": allowance > most}
        if allowed and 0 < side_N.sum() < len(side_N):
            chosen = [max(allowed, key=lambda p, s=side: float(p.right_N[side_N == s].mean())) for side in (0, 1)]  # type: ignore[misc]
            right_N = np.where(side_N == 0, chosen[1].right_N, chosen[0].right_N)
            row |= {"base": [point.name for point in chosen], "accuracy": float(right_N.mean())}
            row["trained_better_by"] = _short(compare(right_N, target.right_N, known))
        else:
            row |= {"base": None, "accuracy": None, "trained_better_by": None}
        rows.append(row)
    _hold_together(rows)
    return rows


def _hold_together(rows: Sequence[dict[str, Any]]) -> None:
    """All rows are one family: `p_holm`, by which the verdict goes. Rows that chose the same settings of the base are
    the same comparison, and count once."""
    looks = {tuple(row["base"]): row["trained_better_by"] for row in rows if row["base"] is not None}
    adjusted = dict(zip(looks, holm([each["p"] for each in looks.values()]), strict=True))
    for row in rows:
        if row["base"] is not None:
            told = row["trained_better_by"]
            told["p_holm"] = adjusted[tuple(row["base"])]
            if told["p_holm"] >= 1 - LEVEL:
                told["verdict"] = "not distinguishable"
