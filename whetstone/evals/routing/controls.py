"""What a route must beat: every single option, and mixing options by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whetstone.engine.routing.policy import Cascade, Floats
from whetstone.evals.page.numbers import probability, signed
from whetstone.evals.routing.outcomes import Played, Ruled, Table, play
from whetstone.evals.statistics import accuracy_interval, compare, holm, mean_interval
from whetstone.evals.statistics.clusters import Clusters

Point = tuple[float, float]  # cost, accuracy


def mixture(points: Sequence[Point]) -> list[Point]:
    """The corners of what options chosen by chance, without looking at the question, can reach: the upper concave hull
    from the cheapest option to the best one (of equals the cheapest)."""
    ordered = sorted(points, key=lambda point: (point[0], -point[1]))
    best = max(accuracy for _, accuracy in ordered)
    hull: list[Point] = []
    for point in ordered:
        if hull and point[1] <= hull[-1][1]:
            continue  # dearer and no better
        while len(hull) > 1 and _below(hull[-1], hull[-2], point):
            hull.pop()
        hull.append(point)
        if point[1] == best:
            break
    return hull


def _below(middle: Point, left: Point, right: Point) -> bool:
    """Whether `middle` lies on or below the line from `left` to `right`."""
    run, rise = right[0] - left[0], right[1] - left[1]
    return (middle[1] - left[1]) * run <= rise * (middle[0] - left[0])


def at(line: Sequence[Point], costs: Floats) -> Floats:
    """The line's accuracy at each cost; constant beyond its ends."""
    found: Floats = np.interp(costs, [point[0] for point in line], [point[1] for point in line])
    return found


def area_over(curve: Sequence[Point], diagonal: Sequence[Point]) -> float | None:
    """The mean height of the curve, its own points mixed by chance, over the diagonal, between the diagonal's ends: in
    accuracy, exact for these broken lines. None where all options cost the same."""
    left, right = diagonal[0][0], diagonal[-1][0]
    if right <= left:
        return None
    # below its cheapest point the curve has nothing but the diagonal's own cheapest option
    line = mixture([*curve, diagonal[0]])
    corners = {left, right} | {cost for cost, _ in (*line, *diagonal) if left < cost < right}
    costs = np.array(sorted(corners))
    height = at(line, costs) - at(diagonal, costs)
    return float((np.diff(costs) * (height[1:] + height[:-1]) / 2).sum() / (right - left))


def known_clusters(table: Table) -> Clusters | None:
    """The problems' clusters as statistics take them; None where each problem stands for itself."""
    return table.clusters if any(table.clusters) else None


def measured(played: Played, table: Table) -> dict[str, Any]:
    """{accuracy, cost} with intervals."""
    clusters = known_clusters(table)
    cost = mean_interval(played.cost_N, clusters)
    return {"accuracy": accuracy_interval(played.right_N, clusters).to_dict(), "cost": cost.to_dict()}


def versus_singles(
    curve: Sequence[Ruled], validation: Table, test: Table, names: Sequence[str]
) -> list[dict[str, Any]]:
    """For each option: the route that is allowed to cost as much on the validation problems, and the paired difference
    between them on the test problems. All are one family: `p_holm`.

    {option, accuracy, cost, itself, route_accuracy, route_cost, difference {mean, low, high}, p, p_holm}; a difference
    above 0 is one for the route; itself: the route is that option alone. An option that no route is cheap enough for is
    left out.
    """
    clusters = known_clusters(test)
    rows: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        allowed = [each for each in curve if each.cost <= validation.cost_NO[:, place].mean() * (1 + 1e-9)]
        if not allowed:
            continue
        best = max(allowed, key=lambda each: each.accuracy).rule
        route = play(best, test)
        told = compare(test.right_NO[:, place], route.right_N, clusters)
        rows.append(
            {
                "option": name,
                "accuracy": float(test.right_NO[:, place].mean()),
                "cost": float(test.cost_NO[:, place].mean()),
                "itself": best == Cascade((place,), ()),
                "route_accuracy": route.accuracy,
                "route_cost": route.cost,
                "difference": {name: told[name] for name in ("mean", "low", "high")},
                "p": told["p"],
            }
        )
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    return rows


def sentence(rows: Sequence[Mapping[str, Any]], unit: str) -> str:
    """Whether the route is on or above every single option at equal cost, in words."""
    if not rows:
        return "No route is as cheap as any single option, so there is no comparison at equal cost."
    others = [row for row in rows if not row["itself"]]
    same = ", ".join(row["option"] for row in rows if row["itself"])
    if not others:
        return f"At equal cost the best route is a single option itself ({same}): routing gains nothing here."
    worst = min(others, key=lambda row: row["difference"]["mean"])
    best = max(others, key=lambda row: row["difference"]["mean"])
    told = f"{_points(worst)} against {worst['option']}"
    if worst["difference"]["mean"] < 0:
        verdict = "and that is a loss" if worst["difference"]["high"] < 0 else "which chance may explain"
        said = f"The route is not above every single option at equal cost: {told}, {verdict}."
    else:
        above = [r["option"] for r in others if r["difference"]["low"] > 0 and r["p_holm"] < 0.05]
        clear = f"distinguishably above {', '.join(above)}" if above else "distinguishably above none of them"
        most = f", at the most {_points(best)} against {best['option']}" if best is not worst else ""
        said = f"The route is on or above every single option at equal cost: at the least {told}{most}; it is {clear}."
    if same:
        said += f" At the cost of {same} the route is that option itself."
    if dearer := ", ".join(row["option"] for row in others if row["route_cost"] > row["cost"] * 1.02):
        said += f" Against {dearer} it cost more {unit} on the test problems than it was allowed."
    return said


def _points(row: Mapping[str, Any]) -> str:
    mean, low, high = (signed(row["difference"][part]) for part in ("mean", "low", "high"))
    return f"{mean} points (95 % interval {low} to {high}; {probability(row['p_holm'])} after Holm)"
