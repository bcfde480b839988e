"""A measurement outside a round is a look: it is counted, and the result says how many there were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whetstone.engine.backends import Source
from whetstone.errors import UsageError
from whetstone.evals.history import History, Look
from whetstone.evals.rounds.entrants import model_files, weights_root
from whetstone.evals.statistics import Interval
from whetstone.models.hub import is_endpoint
from whetstone.runs.progress import Progress
from whetstone.tasks.task import Task


def count_look(source: Source, result: Mapping[str, Any], progress: Progress) -> dict[str, int] | None:
    """Put the measurement into the history. Returns how many looks there are now, this one included: {weights: at this
    task with these weights, task: at this task with any}; None where the history cannot be written, which is said."""
    accuracy = result["accuracy"]
    try:
        look = Look(
            weights=identity(source),
            model=source.model,
            task=result["task"],
            version=result["task_version"],
            level=result.get("level", 0),
            n=accuracy["n"],
            key=result["key"],
            mean=accuracy["mean"],
            low=accuracy["low"],
            high=accuracy["high"],
        )
        history = History.open()
        return {"weights": history.add_look(look), "task": history.looks_at(look.task)}
    except UsageError as error:
        progress.message(f"this look is not counted: {error}")
        return None


def count_run(checkpoint: Path, task: Task, level: int, key: str, accuracy: Interval, progress: Progress) -> int | None:
    """Put a training run's measurement after training into the history: the look that its report is about.

    key: the commitment of its evaluation key. Returns how many runs have looked at these very problems by now, this one
    included; None where the history cannot be written, which is said. The same checkpoint counts once, however often it
    is put there.
    """
    try:
        look = Look(
            weights=weights_root(model_files(str(checkpoint))[0]),
            model=str(checkpoint.resolve()),
            task=task.name,
            version=task.version,
            level=level,
            n=accuracy.n,
            key=key,
            mean=accuracy.mean,
            low=accuracy.low,
            high=accuracy.high,
        )
        history = History.open()
        history.add_look(look, again=False)
        return history.looks_under(key, task.name, level)
    except UsageError as error:
        progress.message(f"this look is not counted: {error}")
        return None


def identity(source: Source) -> str:
    """The hash of the model's files, or an endpoint's address with the name of its model."""
    if is_endpoint(source.model):
        return f"{source.model} {source.name}"
    return weights_root(model_files(source.model)[0])
