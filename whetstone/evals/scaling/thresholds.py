"""Thresholds of methods that stop early, chosen on questions that are kept for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from whetstone.engine.strategies.adaptive import Calibrates
from whetstone.engine.strategies.run import Outcome, run
from whetstone.engine.strategies.strategy import Question, Strategy
from whetstone.errors import UsageError
from whetstone.evals.evaluate import Asked
from whetstone.evals.scaling.asking import Asker, Show, questions_of
from whetstone.evals.scaling.settings import Setting
from whetstone.tasks.files.task import FixedItems
from whetstone.tasks.keys import Key, Stream
from whetstone.tasks.task import Problem

CALIBRATION = 100  # questions on which a threshold is chosen


def kept_questions(asked: Asked, count: int) -> list[Question]:
    """Others than those that are measured: of the validation split, or the items of a file behind them that share no
    cluster with one of those; as many as there are up to `count`. Raises UsageError where there are none."""
    key = Key.derive(asked.key, "whetstone scale, calibration")
    if isinstance(asked.task, FixedItems):
        problems = _others(asked.task, asked, count)
    else:
        found: dict[str, Problem] = {}
        stream = Stream(asked.task, key, "validation", asked.level)
        for place in range(4 * count):
            problem = stream.problem(place)
            found.setdefault(problem.id, problem)
        problems = list(found.values())[:count]
    if not problems:
        raise UsageError("no question is left on which a threshold could be chosen: name one, as in :threshold=0.97")
    return questions_of(replace(asked, problems=problems, key=key))


def _others(task: FixedItems, asked: Asked, count: int) -> list[Problem]:
    """Up to `count` items of the file, none of them measured nor in a cluster that is."""
    names = {problem.id for problem in asked.problems} | {p.cluster for p in asked.problems if p.cluster}
    wanted = len(asked.problems) + count
    while True:  # a draw is chosen by the key, item by item: a larger one holds the smaller
        drawn = task.draw(wanted, asked.key)
        found = [problem for problem in drawn.problems if not {problem.id, problem.cluster} & names]
        if len(found) >= count or wanted >= drawn.total:
            return sorted(found, key=lambda problem: problem.id)[:count]  # ids are hashes: in no order of the file's
        wanted *= 2


def calibrated(asked: Asked, asker: Asker, setting: Setting, show: Show) -> tuple[Setting, dict[str, Any]]:
    """The setting with the threshold that it chose, and what is to be told of that."""
    assert isinstance(setting.strategy, Calibrates)
    questions, pool = kept_questions(asked, CALIBRATION), asker.pool
    pool.show = lambda done, wanted: show(0, f"threshold of {setting.name}: {done} of {wanted} drawn")

    def trial(strategy: Strategy) -> Sequence[Outcome]:
        return run(strategy, questions, asker.backend, pool, asker.config)

    made = setting.strategy.calibrated(trial)
    pool.show = None
    ready = replace(setting, name=made.strategy.name, strategy=made.strategy)
    told = {"method": setting.wish.name, "name": ready.name, "says": made.says, "questions": len(questions)}
    return ready, told | {"tokens": made.spent.tokens}
