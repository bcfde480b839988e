"""Accuracy against tokens, seconds, FLOPs and money, for every method: what `whet scale` and `wh.scale` do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from whetstone.engine.backends import Source
from whetstone.evals.evaluate import DEFAULT_STYLE
from whetstone.evals.scaling.answering import Answering
from whetstone.evals.scaling.folder import PAGE, opened, write_result
from whetstone.evals.scaling.page import render
from whetstone.evals.scaling.plan import PROBLEMS, Plan, planned
from whetstone.evals.scaling.sentences import sentences
from whetstone.evals.scaling.wishes import BUDGETS
from whetstone.files import atomic_write_text
from whetstone.runs import machine, provenance
from whetstone.runs.progress import Progress
from whetstone.tasks.keys import DEFAULT_SEED

SCHEMA = 1


def scale(
    models: str | Source | Sequence[str | Source],
    tasks: str | Sequence[str],
    *,
    out: str | Path,
    levels: Sequence[int] = (),
    n: int = PROBLEMS,
    methods: str | None = None,
    budgets: str | Sequence[int] = BUDGETS,
    temperatures: Sequence[float] = (),
    trained: Sequence[str | Path] = (),
    verifier: Path | Literal["new"] | None = None,
    prices: Path | None = None,
    want: float | None = None,
    style: str = DEFAULT_STYLE,
    seed: int = DEFAULT_SEED,
    device: str = "cpu",
    backend: str = "local",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure every method at every budget on `n` fresh problems of each task and level, and write scale.json and
    scale.html into the folder `out`, where the samples lie too: what was interrupted goes on, and a further budget or
    method draws only what is new.

    models: names, folders, run directories of `whet sharpen` (their sharpened model), or `Source`s. tasks: a task, or
    TASK@1,2 with its own levels. methods: "greedy,consistency,best:by=certainty"; None: all that are possible. budgets:
    samples, turns or beams; for methods that count tokens, so many times the room of one answer. temperatures: one, or
    one for each model. trained: runs that trained one of `models`; their sharpened models are measured too, and a
    model that is such a run by itself is found without it. verifier: the folder of a learned verifier, or "new": one
    is trained for each model, task and level, on training problems, and kept in `out`. prices: a price table
    (`engine.prices`). want: an accuracy, for the cheapest setting that reaches it.

    Returns what scale.json holds, without the rows of single problems. Raises UsageError, before anything is loaded,
    for options that cannot work or a folder of another measurement; WorkFailed when an endpoint never answers.
    """
    plan = planned(
        models, tasks, levels=levels, n=n, methods=methods, budgets=budgets, temperatures=temperatures, trained=trained,
        verifier=verifier, prices=prices, want=want, style=style, seed=seed, device=device, backend=backend,
    )  # fmt: skip
    with opened(Path(out), plan.identity) as folder:
        told, compared = Answering(folder, plan, progress or Progress()).all()
        result = _result(plan, n, methods, told, compared)
        write_result(folder, result)
        atomic_write_text(folder / PAGE, render(result))
    return without_rows(result)


def _result(plan: Plan, n: int, methods: str | None, told: list[dict[str, Any]], compared: list[Any]) -> dict[str, Any]:
    """scale.json."""
    facts = plan.asked[0].facts
    result: dict[str, Any] = {
        "kind": "scaling",
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": provenance.command_line(),
        **{name: facts[name] for name in ("seed", "seed_shared", "seed_note", "key")},
        "style": plan.style,
        "n": n,
        "budgets": list(plan.budgets),
        "methods": methods,
        "want": plan.want,
        "prices": plan.prices.sources([each.priced_as for each in plan.subjects]),
        "models": [each.to_dict() for each in plan.subjects],
        "measurements": told,
        "train_or_think": compared,
        "versions": provenance.versions(),
        "machine": str(machine.describe()),
    }
    return result | {"sentences": sentences(result)}


def without_rows(result: dict[str, Any]) -> dict[str, Any]:
    """The same without what belongs to single problems."""
    measurements = [
        {name: value for name, value in each.items() if name not in ("problems", "clusters")}
        | {"points": [{k: v for k, v in point.items() if k != "per_problem"} for point in each["points"]]}
        for each in result["measurements"]
    ]
    return result | {"measurements": measurements}
