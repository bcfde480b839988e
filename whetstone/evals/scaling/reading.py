"""What the points of one model on one task say: intervals, paired differences, the Pareto front, the knee, the cheapest
setting that is good enough. Everything is computed from what a point's rows hold, so a file can be read again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from whetstone.evals.scaling.points import COSTS, FIELDS, Point
from whetstone.evals.statistics import accuracy_interval, compare, holm
from whetstone.evals.statistics.clusters import Clusters, Floats
from whetstone.evals.statistics.intervals import LEVEL, percentile_interval
from whetstone.evals.statistics.resampling import bootstrap_means

PLATEAU = 0.95  # of the best accuracy of a curve: where its knee is
FEW_CLUSTERS = 10  # with fewer, halves of whole clusters would be unlike each other
_SHOWN = (*COSTS, *(name for name in FIELDS if name not in COSTS))


def read_points(points: Sequence[Point], ids: Sequence[str], clusters: Sequence[str]) -> list[dict[str, Any]]:
    """A JSON row for each point: accuracy and costs with bands, paired differences, and on which fronts it lies."""
    known: Clusters | None = clusters if any(clusters) else None
    rows = [_row(point, known, bands) for point, bands in zip(points, _bands(points, known), strict=True)]
    for row, differences in zip(rows, compared(points, known), strict=True):
        row |= differences
    fronts = {cost: front(points, cost) for cost in COSTS}
    for place, row in enumerate(rows):
        row["front"] = [cost for cost in COSTS if place in fronts[cost]]
    return rows


def _row(point: Point, clusters: Clusters | None, bands: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "method": point.method,
        "name": point.name,
        "budget": point.budget,
        "kind": point.kind,
        "how": point.how,
        "accuracy": accuracy_interval(point.right_N, clusters).to_dict(),
        "costs": bands,
        "failures": dict(point.failures),
    }


def _bands(points: Sequence[Point], clusters: Clusters | None) -> list[dict[str, Any]]:
    """Of each point: {cost: {mean, low, high}}, by one bootstrap over problems for all."""
    columns: list[Floats] = []
    places: list[tuple[int, str]] = []
    for place, point in enumerate(points):
        for cost in _SHOWN:
            if (values_N := point.of(cost)) is not None:
                columns.append(values_N)
                places.append((place, cost))
    means_BM = bootstrap_means(np.column_stack(columns), clusters)
    told: list[dict[str, Any]] = [{} for _ in points]
    for column, (place, cost) in enumerate(places):
        values_N = columns[column]
        band = percentile_interval(means_BM[:, column], float(values_N.mean()), len(values_N))
        told[place][cost] = {"mean": band.mean, "low": band.low, "high": band.high}
    return told


# -- differences ---------------------------------------------------------------------------------------------


def compared(points: Sequence[Point], clusters: Clusters | None) -> list[dict[str, Any]]:
    """For each point its paired differences {versus_greedy, versus_majority, versus_shuffled}, None where there is no
    such rival. All of them are one family: `p_holm` is Holm's, and `verdict` goes by it.

    Majority is the vote whose tokens are nearest in ratio; `tokens_ratio` tells by how much the point's differ.
    """
    told: list[dict[str, Any]] = []
    for point in points:
        rivals = dict(_rivals(point, points)) if point.kind == "method" else {}
        told.append({f"versus_{name}": _difference(point, rival, clusters) for name, rival in rivals.items()})
    family = [each for row in told for each in row.values()]
    for each, p in zip(family, holm([each["p"] for each in family]), strict=True):
        each["p_holm"] = p
        if p >= 1 - LEVEL:
            each["verdict"] = "not distinguishable"
    nothing = dict.fromkeys(("versus_greedy", "versus_majority", "versus_shuffled"))
    return [nothing | row for row in told]


def _rivals(point: Point, points: Sequence[Point]) -> Iterator[tuple[str, Point]]:
    for other in points:
        if other.method == "greedy" and point.method != "greedy":
            yield "greedy", other
        if other.kind == "control" and other.name.startswith(f"{point.name}, "):
            yield "shuffled", other
    votes = [other for other in points if is_vote(other)]
    if votes and not is_vote(point) and point.method != "greedy":
        yield "majority", min(votes, key=lambda vote: abs(math.log(_ratio(point, vote))))


def is_vote(point: Point) -> bool:
    """Whether it is plain self-consistency."""
    return point.kind == "method" and point.method.split(":")[0].split("-")[0] == "consistency"


def _ratio(point: Point, other: Point) -> float:
    return max(point.mean("tokens") or 0.0, 1e-9) / max(other.mean("tokens") or 0.0, 1e-9)


def _difference(point: Point, rival: Point, clusters: Clusters | None) -> dict[str, Any]:
    found = compare(rival.right_N, point.right_N, clusters)
    kept = {name: found[name] for name in ("mean", "low", "high", "n", "p", "verdict")}
    return {"rival": rival.name, "tokens_ratio": _ratio(point, rival), **kept}


# -- fronts and knees ----------------------------------------------------------------------------------------


def front(points: Sequence[Point], cost: str) -> set[int]:
    """Places of the honest methods that no other beats: none is as good for less, or better for as much."""
    honest = [(place, point.mean(cost), point.accuracy) for place, point in enumerate(points) if point.kind == "method"]
    known = [(place, price, right) for place, price, right in honest if price is not None]
    found: set[int] = set()
    best = -1.0
    for place, _, right in sorted(known, key=lambda each: (each[1], -each[2])):
        if right > best:
            found.add(place)
            best = right
    return found


def knees(points: Sequence[Point], clusters: Clusters | None) -> list[dict[str, Any]]:
    """Of each curve: the least tokens that reach 95 % of its best accuracy, and whether its end still rises.

    `rising`: the last setting is distinguishably better than the one before (paired), so that the plateau may lie
    beyond what was measured.
    """
    found = []
    for method in dict.fromkeys(point.method for point in points if point.kind != "control"):
        curve = sorted((p for p in points if p.method == method), key=lambda p: p.mean("tokens") or 0.0)
        if len(curve) < 2:
            continue
        plateau = max(point.accuracy for point in curve)
        knee = next(point for point in curve if point.accuracy >= PLATEAU * plateau)
        rising = compare(curve[-2].right_N, curve[-1].right_N, clusters)["verdict"] == "gain"
        told = {"name": knee.name, "budget": knee.budget, "tokens": knee.mean("tokens"), "accuracy": knee.accuracy}
        found.append({"method": method, **told, "plateau": plateau, "rising": rising})
    return found


# -- choosing ------------------------------------------------------------------------------------------------


def halves(ids: Sequence[str], clusters: Sequence[str]) -> Floats:
    """[N] of 0 and 1: two halves of the problems by a hash, clusters whole where there are enough of them."""
    whole = len({each for each in clusters if each}) >= FEW_CLUSTERS
    units = [cluster if whole and cluster else name for name, cluster in zip(ids, clusters, strict=True)]
    order = sorted(set(units), key=lambda unit: hashlib.sha256(unit.encode()).digest())
    side = {unit: place % 2 for place, unit in enumerate(order)}
    return np.array([side[unit] for unit in units], dtype=np.float64)


def cheapest(
    points: Sequence[Point], want: float, ids: Sequence[str], clusters: Sequence[str], cost: str = "tokens"
) -> dict[str, Any]:
    """The cheapest honest setting that reaches `want`, chosen on one half of the problems, measured on the other.

    {want, cost, name, per_question, chosen_at, accuracy, verdict}: `chosen_at` is its accuracy where it was chosen,
    which flatters it; `accuracy` that of the other half; `verdict` "reached", "missed" or "not distinguishable". name
    is None where none reaches it there, and then `best` tells the one that comes nearest there: {name, accuracy}.
    """
    side_N = halves(ids, clusters)
    chosen_N, told_N = side_N == 0, side_N == 1
    honest = sorted(
        (point for point in points if point.kind == "method" and point.of(cost) is not None and told_N.any()),
        key=lambda point: point.mean(cost) or 0.0,
    )
    found: dict[str, Any] = {"want": want, "cost": cost, "name": None, "best": None}
    enough = next((point for point in honest if float(point.right_N[chosen_N].mean()) >= want), None)
    if enough is None:
        best = max(honest, key=lambda point: float(point.right_N[chosen_N].mean()), default=None)
        there = None if best is None else {"name": best.name, "accuracy": float(best.right_N[chosen_N].mean())}
        return found | {"best": there}
    known = [cluster for cluster, there in zip(clusters, told_N, strict=True) if there]
    accuracy = accuracy_interval(enough.right_N[told_N], known if any(known) else None)
    verdict = "reached" if accuracy.low >= want else "missed" if accuracy.high < want else "not distinguishable"
    return found | {
        "name": enough.name,
        "per_question": enough.mean(cost),
        "chosen_at": float(enough.right_N[chosen_N].mean()),
        "accuracy": accuracy.to_dict(),
        "verdict": verdict,
    }
