"""The control that a route must not lose to: each model alone, voting with as many samples as the route's cost buys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from whetstone.engine.routing.policy import Option
from whetstone.engine.strategies.run import Outcome
from whetstone.evals.routing.controls import known_clusters, measured
from whetstone.evals.routing.measuring import Asker
from whetstone.evals.routing.outcomes import Played, Table
from whetstone.evals.statistics import compare

MOST = 64  # samples for a question


def votes_at_equal_cost(
    asker: Asker, options: Sequence[Option], outcomes: Sequence[Sequence[Outcome]], played: Played, unit: str
) -> list[dict[str, Any]]:
    """For each model `consistency-k` on the test problems, k the number of samples whose cost comes nearest to the
    route's from above (so that the control is never the poorer one), at most MOST; and the paired difference, above 0
    where the route is better."""
    problems = asker.asked.parts["eval"]
    clusters = tuple(problem.cluster for problem in problems)
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(option.model for option in options):
        each = float(np.mean([_per_sample(asker, options, outcomes, name, unit)]))
        count = 1 if each <= 0 else int(np.clip(np.ceil(played.cost / each), 1, MOST))
        option = Option(name, f"consistency-{count}", asker.models[name].weights)
        run = asker.outcomes(option, problems, "as much as the route")
        right_N = asker.judged(run, problems)
        cost_N = asker.costs(option, [outcome.spent for outcome in run], unit)
        alone = Played(right_N, cost_N, np.zeros(len(right_N), dtype=np.int64))
        table = Table(right_N[:, None], right_N[:, None], cost_N[:, None], clusters=clusters)
        told = compare(right_N, played.right_N, known_clusters(table))
        difference = {part: told[part] for part in ("mean", "low", "high", "p")}
        rows.append({"option": option.name} | measured(alone, table) | {"difference": difference})
    return rows


def _per_sample(
    asker: Asker, options: Sequence[Option], outcomes: Sequence[Sequence[Outcome]], model: str, unit: str
) -> float:
    """What one more sample of this model costs, from the option that drew most: its cost per completion."""
    own = [place for place, option in enumerate(options) if option.model == model]
    drawn = {place: sum(outcome.spent.completions for outcome in outcomes[place]) for place in own}
    place = max(own, key=lambda each: drawn[each])
    spent = [outcome.spent for outcome in outcomes[place]]
    return float(asker.costs(options[place], spent, unit).sum()) / max(1, drawn[place])
