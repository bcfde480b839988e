"""Accuracy against tokens, seconds, FLOPs and money, for every method: what `whet scale` and `wh.scale` do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from whetstone.engine.backends import Source
from whetstone.engine.prices import PriceTable
from whetstone.engine.strategies.names import DEFAULT_TEMPERATURE
from whetstone.errors import UsageError
from whetstone.evals.evaluate import DEFAULT_STYLE, Asked, asked_of
from whetstone.evals.looks import identity as identity_of
from whetstone.evals.scaling.answering import Answering, Subject
from whetstone.evals.scaling.folder import PAGE, opened, write_result
from whetstone.evals.scaling.page import render
from whetstone.evals.scaling.sentences import sentences
from whetstone.evals.scaling.training_cost import TrainingCost, run_of, training_cost, weights_of
from whetstone.evals.scaling.wishes import BUDGETS, Wish, parsed_budgets, parsed_wishes
from whetstone.files import atomic_write_text
from whetstone.models.hub import is_endpoint, resolve
from whetstone.runs import machine, provenance
from whetstone.runs.progress import Progress
from whetstone.runs.provenance import weights_sha256
from whetstone.tasks.keys import DEFAULT_SEED
from whetstone.tasks.registry import load_task
from whetstone.tasks.task import require_no_code_execution

SCHEMA = 1
PROBLEMS = 200


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
    shown = progress or Progress()
    wishes, chosen = parsed_wishes(methods), _budgets(budgets)
    if want is not None and not 0 < want <= 1:
        raise UsageError(f"--want is an accuracy above 0 and at most 1, as in 0.8, not {want:g}")
    sources = _sources(models, trained, device, backend)
    asked = _all_asked([tasks] if isinstance(tasks, str) else list(tasks), levels, n, style, seed)
    table = PriceTable() if prices is None else PriceTable.load(prices)
    warmths = _temperatures(temperatures, len(sources))
    _require_possible(wishes, [source for source, _ in sources], verifier)
    runs = [None if is_endpoint(source.model) else run_of(source.model) for source, _ in sources]
    costs = [None if run is None else training_cost(run) for run in runs]
    partners = _partners(sources, costs, [str(run) for run in trained])
    subjects = [
        Subject(source, name, identity_of(source), warmth, run, cost, base)
        for (source, name), warmth, run, cost, base in zip(sources, warmths, runs, costs, partners, strict=True)
    ]
    identity = {
        "models": [{"name": each.name, "identity": each.identity} for each in subjects],
        "tasks": [{"name": each.task.name, "version": each.task.version, "level": each.level} for each in asked],
        "seed": seed,
        "style": style,
        "temperatures": warmths,
    }
    with opened(Path(out), identity) as folder:
        answering = Answering(folder, wishes, chosen, table, verifier, want, shown)
        told, compared = answering.all(subjects, asked)
        result: dict[str, Any] = {
            "kind": "scaling",
            "schema": SCHEMA,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": provenance.command_line(),
            **{name: asked[0].facts[name] for name in ("seed", "seed_shared", "seed_note", "key")},
            "style": style,
            "n": n,
            "budgets": list(chosen),
            "methods": methods,
            "want": want,
            "prices": table.sources([each.priced_as for each in subjects]),
            "models": [each.to_dict() for each in subjects],
            "measurements": told,
            "train_or_think": compared,
            "versions": provenance.versions(),
            "machine": str(machine.describe()),
        }
        result["sentences"] = sentences(result)
        write_result(folder, result)
        atomic_write_text(folder / PAGE, render(result))
    return without_rows(result)


def without_rows(result: dict[str, Any]) -> dict[str, Any]:
    """The same without what belongs to single problems."""
    measurements = [
        {name: value for name, value in each.items() if name not in ("problems", "clusters")}
        | {"points": [{k: v for k, v in point.items() if k != "per_problem"} for point in each["points"]]}
        for each in result["measurements"]
    ]
    return result | {"measurements": measurements}


# -- what is asked for ---------------------------------------------------------------------------------------


def _budgets(budgets: str | Sequence[int]) -> tuple[int, ...]:
    return parsed_budgets(budgets if isinstance(budgets, str) else ",".join(map(str, budgets)))


def _sources(
    models: str | Source | Sequence[str | Source], trained: Sequence[str | Path], device: str, backend: str
) -> list[tuple[Source, str]]:
    """Each model with what the user called it; a run's directory becomes its checkpoint."""
    listed = [models] if isinstance(models, str | Source) else list(models)
    if not listed:
        raise UsageError("name at least one model")
    for run in trained:
        if run_of(str(run)) is None:
            raise UsageError(f"{run} is not the directory of a run of `whet sharpen`")
        if str(run) not in listed:
            listed.append(str(run))
    found: list[tuple[Source, str]] = []
    for each in listed:
        if isinstance(each, Source):
            found.append((each, f"{each.name} at {each.model}" if is_endpoint(each.model) else each.model))
        else:
            found.append((Source(weights_of(each), device=device, backend=backend), each))
    names = [name for _, name in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{twice[0]} is named twice")
    for source, _ in found:
        if not is_endpoint(source.model):
            resolve(source.model)
    return found


def _all_asked(tasks: Sequence[str], levels: Sequence[int], n: int, style: str, seed: int) -> list[Asked]:
    if n < 2:
        raise UsageError("--n must be at least 2: an interval needs more than one problem")
    found: list[Asked] = []
    for spec in tasks:
        name, own = _own_levels(spec)
        task = load_task(name)
        require_no_code_execution(task)
        found += [asked_of(task, level, n, style, seed) for level in own or levels or (None,)]
    keys = [(each.task.name, each.level) for each in found]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise UsageError(f"task {twice[0][0]} is named twice at level {twice[0][1]}")
    return found


def _own_levels(spec: str) -> tuple[str, tuple[int, ...]]:
    """`addition@1,2` -> ("addition", (1, 2))."""
    name, at, levels = spec.rpartition("@")
    if at and levels and all(piece.isdecimal() for piece in levels.split(",")):
        return name, tuple(int(piece) for piece in levels.split(","))
    return spec, ()


def _temperatures(given: Sequence[float], models: int) -> list[float]:
    if not all(0.01 <= each <= 100 for each in given):
        raise UsageError("--temperature is a number from 0.01 to 100: greedy has its own curve")
    if len(given) > 1 and len(given) != models:
        raise UsageError(f"--temperature is given {len(given)} times for {models} models: once, or once for each")
    return list(given) if len(given) > 1 else [*(given or (DEFAULT_TEMPERATURE,))] * models


def _require_possible(
    wishes: Sequence[Wish] | None, sources: Sequence[Source], verifier: Path | Literal["new"] | None
) -> None:
    """What can be told before anything is loaded."""
    from whetstone.engine.strategies.names import METHODS

    endpoints = [source for source in sources if is_endpoint(source.model)]
    for wish in wishes or ():
        if METHODS[wish.method].ids and endpoints:
            raise UsageError(f"{wish.method} continues token ids, which an endpoint does not take: leave it out")
    if verifier is not None:
        if endpoints:
            raise UsageError("a learned verifier reads a model's hidden states, and an endpoint shows none")
        if isinstance(verifier, Path) and not verifier.is_dir():
            raise UsageError(f"there is no verifier in {verifier}")


def _partners(
    sources: Sequence[tuple[Source, str]], costs: Sequence[TrainingCost | None], trained: Sequence[str]
) -> list[str | None]:
    """For each model the name of the one that it was trained from, where that is here too. Raises UsageError for a run
    of `trained` whose base is not."""
    local = {name: weights_sha256(resolve(s.model)) for s, name in sources if not is_endpoint(s.model)}
    found: list[str | None] = []
    for (_, name), cost in zip(sources, costs, strict=True):
        base = next((n for n, digest in local.items() if cost and n != name and digest == cost.base["sha256"]), None)
        if base is None and name in trained and cost is not None:
            raise UsageError(f"{name} was trained from {cost.base['name']}, which is none of the models here: name it")
        found.append(base)
    return found
