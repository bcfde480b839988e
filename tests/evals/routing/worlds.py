"""Worlds in which the best route is known, and the longest way to find it."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np

from whetstone.engine.routing.policy import Cascade
from whetstone.evals.routing.outcomes import Table


def table(right: object, sure: object, cost: object, features: object = None) -> Table:
    right_NO = np.array(right, dtype=np.float64)
    cost_NO = np.broadcast_to(np.array(cost, dtype=np.float64), right_NO.shape)
    seen = {} if features is None else {"ngrams": (np.array(features, dtype=np.float64), np.zeros(len(right_NO)))}
    ids = tuple(map(str, range(len(right_NO))))
    return Table(right_NO, np.array(sure, dtype=np.float64), cost_NO, seen, ids)


def random_table(seed: int, count: int, options: int) -> Table:
    random = np.random.default_rng(seed)
    right = random.random((count, options)) < np.linspace(0.3, 0.8, options)
    sure = np.round(0.6 * random.random((count, options)) + 0.4 * right, 1)
    return table(right, sure, random.uniform(1, 2, (count, options)) * 3.0 ** np.arange(options))


def walked(rule: Cascade, world: Table) -> tuple[float, float]:
    """(cost, accuracy) question by question, by the generator that a server drives."""
    cost = right = 0.0
    for n in range(len(world)):
        tries = rule.tries()
        option = next(tries)
        while True:
            cost += world.cost_NO[n, option]
            try:
                option = tries.send(float(world.sure_NO[n, option]))
            except StopIteration as end:
                right += world.right_NO[n, end.value]
                break
    return cost / len(world), right / len(world)


def every_cascade(world: Table) -> list[tuple[float, float]]:
    """(cost, accuracy) of every chain in order of cost at every threshold."""
    found = []
    order = sorted(range(world.cost_NO.shape[1]), key=lambda option: float(world.cost_NO[:, option].mean()))
    for count in range(1, len(order) + 1):
        for chain in combinations(order, count):
            bars = [[*sorted(set(world.sure_NO[:, option])), 2.0] for option in chain[:-1]]
            found += [walked(Cascade(chain, each), world) for each in product(*bars)]
    return found


def two_kinds(seed: int, count: int) -> Table:
    """Easy questions, which the cheap option gets right, and hard ones, which only the dear one does; a question's
    first feature says which it is, nine more are noise."""
    random = np.random.default_rng(seed)
    hard = random.random(count) < 0.5
    features = np.column_stack(
        [np.where(hard, 1.0, -1.0) + 0.1 * random.normal(size=count), random.normal(size=(count, 9))]
    )
    cheap, dear = ~hard, np.ones(count, dtype=bool)
    sure = np.column_stack([np.where(hard, 0.3, 0.9), np.ones(count)])
    return table(np.column_stack([cheap, dear]), sure, [1.0, 10.0], features)
