"""All points of one model on one task and level: a pool for what can be computed from one, a run for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from whetstone.engine.strategies.run import run
from whetstone.engine.strategies.strategy import Question
from whetstone.errors import UsageError
from whetstone.evals.evaluate import Asked
from whetstone.evals.scaling.asking import Asker, Judging, Show, require_room_for
from whetstone.evals.scaling.points import Point, finished, spent_matrix
from whetstone.evals.scaling.pooled import about_pool, draw_pool, points_of_pool
from whetstone.evals.scaling.settings import Setting
from whetstone.evals.scaling.thresholds import calibrated
from whetstone.tasks.task import Verdict


@dataclass
class Measured:
    """What one model did on one task and level. `pools`: about the samples of each temperature; `calibrations`: what
    strategies learned from questions kept for that ({method, name, says, questions, tokens})."""

    points: list[Point] = field(default_factory=list)
    calibrations: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    pools: list[dict[str, Any]] = field(default_factory=list)


def measure(
    asked: Asked, asker: Asker, settings: Sequence[Setting], questions: Sequence[Question], show: Show, strict: bool
) -> Measured:
    """All points. Raises PromptTooLong before anything is sampled, WorkFailed when the task's check is broken, and what
    the sampler raises. What this backend's answers are not enough for (a verifier with what goes by it, a method) is
    left out, or raises its UsageError where `strict`."""
    require_room_for(questions, asked.task, asker.backend)
    measured, judging = Measured(), Judging(asked)
    _from_pools(measured, asked, asker, settings, questions, judging, show, strict)
    for setting in settings:
        if setting.pooled is None:
            _from_run(measured, asked, asker, setting, questions, judging, show, strict)
    order = list(dict.fromkeys(setting.wish.name for setting in settings))
    kinds = ("method", "control", "oracle")
    measured.points.sort(key=lambda p: (kinds.index(p.kind), order.index(p.method) if p.method in order else 0))
    return measured


def _from_pools(
    measured: Measured, asked: Asked, asker: Asker, settings: Sequence[Setting], questions: Sequence[Question],
    judging: Judging, show: Show, strict: bool,
) -> None:  # fmt: skip
    """What pools say all about: one for each temperature."""
    warmths = sorted({setting.pooled.temperature for setting in settings if setting.pooled})
    for warmth in warmths:
        here = [each for each in settings if each.pooled and each.pooled.temperature == warmth]
        pool, failed = draw_pool(asked, asker, here, questions, judging, show)
        if failed and strict:
            raise UsageError(next(iter(failed.values())))
        names = {each.wish.name: failed[each.verifier] for each in here if each.verifier in failed}
        measured.left_out += [{"method": name, "why": why} for name, why in names.items()]
        kept = [each for each in here if each.verifier not in failed]
        measured.pools.append({"temperature": warmth, **about_pool(pool)})
        measured.points += points_of_pool(kept, pool, asker, "" if len(warmths) == 1 else f", t={warmth:g}")


def _from_run(
    measured: Measured, asked: Asked, asker: Asker, setting: Setting, questions: Sequence[Question],
    judging: Judging, show: Show, strict: bool,
) -> None:  # fmt: skip
    """What must be run, its threshold chosen first where it wants one."""
    try:
        if setting.calibrates:
            setting, told = calibrated(asked, asker, setting, show)
            measured.calibrations.append(told)
        measured.points.append(run_point(asked, asker, setting, questions, judging, show))
    except UsageError as error:  # what was written lacks something that this method reads, as log-probabilities
        if strict:
            raise
        why = {"method": setting.wish.name, "why": str(error)}
        measured.left_out += [why] if why not in measured.left_out else []


def run_point(
    asked: Asked,
    asker: Asker,
    setting: Setting,
    questions: Sequence[Question],
    judging: Judging,
    show: Show,
) -> Point:
    """A strategy that decides as it goes, on every question, with the same pool."""
    pool, n = asker.pool, len(questions)
    pool.failures.clear()
    pool.show = lambda done, wanted: show(0, f"{setting.name}: {done} of {wanted} drawn")
    outcomes = run(setting.strategy, questions, asker.backend, pool, asker.config)
    pool.show = None
    show(setting.units(n), "")
    verdicts = [judging.outcome(*each) for each in zip(asked.problems, outcomes, strict=True)]
    right_N = np.array([float(verdict is Verdict.RIGHT) for verdict in verdicts])
    failures = {kind: count / n for kind, count in sorted(pool.failures.items())}
    spent_NF = spent_matrix([each.spent for each in outcomes])
    name = setting.wish.name
    return finished(name, setting.name, setting.budget, "method", "run", right_N, spent_NF, asker.price, failures)
