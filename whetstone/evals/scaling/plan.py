"""What one call of `whet scale` asks for: checked before anything is loaded, and whose folder that makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from whetstone.engine.backends import Source
from whetstone.engine.prices import PriceTable
from whetstone.engine.strategies.names import DEFAULT_TEMPERATURE, METHODS
from whetstone.engine.strategies.spending import weights_read
from whetstone.errors import UsageError
from whetstone.evals.evaluate import DEFAULT_STYLE, Asked, asked_of
from whetstone.evals.looks import identity as identity_of
from whetstone.evals.scaling.training_cost import TrainingCost, run_of, training_cost, weights_of
from whetstone.evals.scaling.wishes import BUDGETS, Wish, parsed_budgets, parsed_wishes
from whetstone.models.config import ModelConfig
from whetstone.models.hub import is_endpoint, resolve
from whetstone.runs.provenance import weights_sha256
from whetstone.tasks.keys import DEFAULT_SEED
from whetstone.tasks.registry import load_task
from whetstone.tasks.task import require_no_code_execution

PROBLEMS = 200


@dataclass
class Subject:
    """One model: where it comes from, its name on the page, what tells its weights from all others, at what temperature
    it is sampled. run, cost, base: the run that trained it, what that recorded, the name of the model that it was
    trained from. Filled in when it is loaded: its `config`, and `one_off`, what training cost in flops and seconds."""

    source: Source
    name: str
    identity: str
    temperature: float
    run: Path | None = None
    cost: TrainingCost | None = None
    base: str | None = None
    config: ModelConfig | None = None
    one_off: dict[str, Any] | None = None
    backend: dict[str, Any] | None = None

    @property
    def engine(self) -> str:
        """What computes its answers. The same weights and seeds give other samples on another one; the number of
        threads changes none."""
        source = self.source
        return "endpoint" if is_endpoint(source.model) else f"{source.backend}, {source.device}"

    @property
    def priced_as(self) -> str:
        """The name in a price table: of an endpoint, the model's there."""
        return self.source.name or self.name

    def to_dict(self) -> dict[str, Any]:
        trained = None
        if self.cost is not None:
            trained = {**self.cost.to_dict(), "base_here": self.base, "cost": self.one_off}
        return {
            "name": self.name,
            "identity": self.identity,
            "temperature": self.temperature,
            "weights_read": None if self.config is None else weights_read(self.config),
            "trained": trained,
            "backend": self.backend,
        }


@dataclass(frozen=True)
class Plan:
    """A measurement as it was asked for; wishes None: every method that is possible."""

    subjects: list[Subject]
    asked: list[Asked]
    wishes: list[Wish] | None
    budgets: tuple[int, ...]
    prices: PriceTable
    verifier: Path | Literal["new"] | None
    want: float | None
    style: str
    seed: int

    @property
    def identity(self) -> dict[str, Any]:
        """What the folder belongs to (`folder.opened`): who asks otherwise needs another one."""
        return {
            "models": [{"name": each.name, "identity": each.identity} for each in self.subjects],
            "tasks": [
                {"name": each.task.name, "version": each.task.version, "level": each.level} for each in self.asked
            ],
            "seed": self.seed,
            "style": self.style,
            "temperatures": [each.temperature for each in self.subjects],
            "engines": [each.engine for each in self.subjects],
        }


def planned(
    models: str | Source | Sequence[str | Source], tasks: str | Sequence[str], *, levels: Sequence[int] = (),
    n: int = PROBLEMS, methods: str | None = None, budgets: str | Sequence[int] = BUDGETS,
    temperatures: Sequence[float] = (), trained: Sequence[str | Path] = (),
    verifier: Path | Literal["new"] | None = None, prices: Path | None = None, want: float | None = None,
    style: str = DEFAULT_STYLE, seed: int = DEFAULT_SEED, device: str = "cpu", backend: str = "local",
) -> Plan:  # fmt: skip
    """The options of `scale` understood. Raises UsageError for what cannot work; nothing is loaded yet."""
    wishes, chosen = parsed_wishes(methods), _budgets(budgets)
    if want is not None and not 0 < want <= 1:
        raise UsageError(f"--want is an accuracy above 0 and at most 1, as in 0.8, not {want:g}")
    sources = _sources(models, trained, device, backend)
    asked = _all_asked([tasks] if isinstance(tasks, str) else list(tasks), levels, n, style, seed)
    table = PriceTable() if prices is None else PriceTable.load(prices)
    warmths = _temperatures(temperatures, len(sources))
    _require_possible(wishes, [source for source, _ in sources], verifier)
    subjects = _subjects(sources, warmths, [str(run) for run in trained])
    return Plan(subjects, asked, wishes, chosen, table, verifier, want, style, seed)


def _subjects(sources: Sequence[tuple[Source, str]], warmths: Sequence[float], trained: Sequence[str]) -> list[Subject]:
    runs = [None if is_endpoint(source.model) else run_of(source.model) for source, _ in sources]
    costs = [None if run is None else training_cost(run) for run in runs]
    partners = _partners(sources, costs, trained)
    return [
        Subject(source, name, identity_of(source), warmth, run, cost, base)
        for (source, name), warmth, run, cost, base in zip(sources, warmths, runs, costs, partners, strict=True)
    ]


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
