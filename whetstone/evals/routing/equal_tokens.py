"""The control that a route must not lose to: each model alone, voting with as many samples as the route's cost buys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from whetstone.engine.routing.policy import Option
from whetstone.engine.strategies.names import strategy_of
from whetstone.engine.strategies.run import Outcome
from whetstone.evals.routing.controls import known_clusters, measured
from whetstone.evals.routing.measuring import Asker
from whetstone.evals.routing.outcomes import Played, Table
from whetstone.evals.statistics import compare

MOST = 64  # samples for a question


def votes_at_equal_cost(
    asker: Asker, options: Sequence[Option], outcomes: Sequence[Sequence[Outcome]], played: Played, unit: str
) -> list[dict[str, Any]]:
    """For each model `consistency-k` on the test problems, k growing until it costs as much as the route (so that the
    control is never the poorer one) or is MOST, at the temperature of the model's own options; and the paired
    difference, above 0 where the route is better."""
    problems = asker.asked.parts["eval"]
    clusters = tuple(problem.cluster for problem in problems)
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(option.model for option in options):
        busiest = _busiest(options, outcomes, name)
        warmth = _temperature(asker, [option for option in options if option.model == name], options[busiest])
        count = 1
        while True:
            option = Option(name, f"consistency-{count}{warmth}", asker.models[name].weights)
            run = asker.outcomes(option, problems, "as much as the route")
            cost_N = asker.costs(option, [outcome.spent for outcome in run], unit)
            if count == MOST or cost_N.mean() >= played.cost * (1 - 1e-9):
                break
            # the prompt is paid once, so this falls short rather than too far; what was drawn is not drawn again
            share = played.cost / float(cost_N.mean()) if cost_N.mean() > 0 else MOST
            count = int(np.clip(np.floor(count * share), count + 1, MOST))
        right_N = asker.judged(run, problems)
        alone = Played(right_N, cost_N, np.zeros(len(right_N), dtype=np.int64))
        table = Table(right_N[:, None], right_N[:, None], cost_N[:, None], clusters=clusters)
        told = compare(right_N, played.right_N, known_clusters(table))
        difference = {part: told[part] for part in ("mean", "low", "high", "p")}
        rows.append({"option": option.name} | measured(alone, table) | {"difference": difference})
    return rows


def _busiest(options: Sequence[Option], outcomes: Sequence[Sequence[Outcome]], model: str) -> int:
    """The option of this model that drew most."""
    own = [place for place, option in enumerate(options) if option.model == model]
    return max(own, key=lambda place: sum(outcome.spent.completions for outcome in outcomes[place]))


def _temperature(asker: Asker, own: Sequence[Option], first: Option) -> str:
    """`:t=0.6`, where an option of the model is sampled so (`first` goes first): votes hang on it a good deal. Empty
    where all of them are greedy."""
    for option in (first, *own):
        found = getattr(strategy_of(option.strategy, asker.tools), "temperature", 0.0)
        if found > 0:
            return f":t={found:g}"
    return ""
