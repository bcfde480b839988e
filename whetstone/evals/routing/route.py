"""Learn a route from samples and measure it: the function behind `whet route`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from whetstone.engine.prices import PriceTable
from whetstone.engine.routing.policy import Cascade, Classifier, Features, Option, Policy
from whetstone.engine.samples import SampleFile
from whetstone.engine.strategies.run import Outcome
from whetstone.errors import UsageError
from whetstone.evals.routing import controls
from whetstone.evals.routing.equal_tokens import votes_at_equal_cost
from whetstone.evals.routing.learning import cascades, chosen, classifiers, fitted
from whetstone.evals.routing.measuring import (
    COSTS,
    PARTS,
    Asked,
    Asker,
    asked_of,
    features_of,
    require_folder,
    table_of,
)
from whetstone.evals.routing.options import Model, parsed, read_endpoints
from whetstone.evals.routing.outcomes import Ruled, Table, front, play
from whetstone.evals.routing.page import render
from whetstone.files import atomic_write_text
from whetstone.models.hub import is_endpoint
from whetstone.runs import machine, provenance
from whetstone.runs.lock import locked
from whetstone.runs.progress import Progress
from whetstone.tasks.files.task import FixedItems
from whetstone.tasks.keys import DEFAULT_SEED, SHARED_SEED, commitment
from whetstone.tasks.registry import load_task
from whetstone.tasks.task import require_no_code_execution

PROBLEMS = 200
SAMPLES, PAGE = "samples.sqlite", "route.html"
KINDS = ("cascade", "classifier", "both")


@dataclass(frozen=True)
class Wanted:
    """What the route shall do: `kind` of rule, accuracy or cost on the validation problems (neither: as accurate as the
    best single option), costs in `unit`."""

    kind: str = "both"
    accuracy: float | None = None
    budget: float | None = None
    unit: str = "tokens"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"unknown kind of route {self.kind!r}; choose one of {', '.join(KINDS)}")
        if self.unit not in COSTS:
            raise UsageError(f"unknown cost {self.unit!r}; choose one of {', '.join(COSTS)}")
        if self.accuracy is not None and self.budget is not None:
            raise UsageError("a route keeps to a wanted accuracy or to a budget: leave out --want or --budget")
        if self.accuracy is not None and not 0 < self.accuracy <= 1:
            raise UsageError(f"--want is an accuracy above 0 and at most 1, as in 0.8, not {self.accuracy:g}")
        if self.budget is not None and not self.budget > 0:
            raise UsageError(f"--budget is a cost above 0, not {self.budget:g}")


def route(
    options: Sequence[str],
    task: str,
    *,
    out: str | Path,
    n: int = PROBLEMS,
    calibrate_on: int | None = None,
    learn_from: int | None = None,
    level: int | None = None,
    style: str = "only",
    kind: str = "both",
    want: float | None = None,
    budget: float | None = None,
    cost: str = "tokens",
    prices: Path | None = None,
    endpoints: Path | None = None,
    seed: int = DEFAULT_SEED,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Learn which of `options` (MODEL@STRATEGY) to ask. route.json and route.html go into the folder `out`, where the
    samples lie too: what was interrupted goes on.

    A classifier learns from `learn_from` problems of the training split, thresholds are calibrated on `calibrate_on` of
    the validation split, and everything is measured on `n` of the evaluation split (without numbers, all three are n).
    want: accuracy; budget: mean cost in `cost`, one of "tokens", "flops", "seconds", "usd" (by the table `prices`).
    endpoints: a TOML file that names models behind addresses.

    Returns what route.json holds. Raises UsageError for options that cannot work, or where no route does what is
    wanted; what samplers raise, when the samples so far are kept.
    """
    shown = progress or Progress()
    wanted = Wanted(kind, want, budget, cost)
    known = {} if endpoints is None else read_endpoints(endpoints)
    offered, models = parsed(options, known, device)
    loaded_task = load_task(task)
    require_no_code_execution(loaded_task)
    counts = dict(zip(PARTS, (learn_from or n, calibrate_on or n, n), strict=True))
    if min(counts.values()) < 2:
        raise UsageError("a route needs at least 2 problems of each kind")
    asked = asked_of(loaded_task, level, style, seed, counts)
    table = PriceTable() if prices is None else PriceTable.load(prices)
    _require_costs(wanted.unit, models, table)
    folder = Path(out)
    require_folder(folder, SAMPLES)
    with locked(folder):
        file = SampleFile(folder / SAMPLES)
        try:
            policy = _Learning(Asker(asked, models, file, shown, table), offered, wanted).policy(seed)
        finally:
            file.close()
        policy.save(folder)
        told = policy.to_dict()
        atomic_write_text(folder / PAGE, render(told))
    return told


def _require_costs(unit: str, models: dict[str, Model], table: PriceTable) -> None:
    """What can be told before anything is loaded. Raises UsageError."""
    for model in models.values():
        if unit == "usd" and table.of(model.priced_as) is None:
            raise UsageError(f"there is no price for {model.priced_as}: give --prices a table with one")
        if unit == "flops" and is_endpoint(model.source.model):
            raise UsageError(f"nobody knows the FLOPs of {model.name}: choose another --cost")


@dataclass
class _Learning:
    """One call of `route` at work."""

    asker: Asker
    options: Sequence[Option]
    wanted: Wanted

    @property
    def asked(self) -> Asked:
        return self.asker.asked

    def policy(self, seed: int) -> Policy:
        tables, outcomes = self._tables()
        curves = self._curves(tables)
        merged = front([each for curve in curves.values() for each in curve])
        singles = tables["validation"].right_NO.mean(axis=0)
        picked = chosen(merged, self.wanted.accuracy, self.wanted.budget, float(singles.max()))
        facts = self._facts(seed) | self._measured(tables, curves, merged, picked, outcomes)
        return Policy(tuple(self.options), picked.rule, facts)

    def _tables(self) -> tuple[dict[str, Table], dict[str, list[list[Outcome]]]]:
        """All options on all problems; model by model, so that each is asked everything at once."""
        outcomes: dict[str, list[list[Outcome]]] = {part: [] for part in PARTS}
        for option in self.options:
            for part in PARTS:
                outcomes[part].append(self.asker.outcomes(option, self.asked.parts[part], part))
        unit = self.wanted.unit
        return {part: table_of(self.asker, self.options, outcomes[part], part, unit) for part in PARTS}, outcomes

    def _curves(self, tables: dict[str, Table]) -> dict[str, list[Ruled]]:
        """The fronts on the validation problems, by kind of rule."""
        curves: dict[str, list[Ruled]] = {}
        if self.wanted.kind != "classifier":
            curves["cascade"] = cascades(tables["validation"])
        if self.wanted.kind != "cascade":
            for features in features_of(self.options, self.asker.models, tables["train"].by_cost):
                for part in PARTS:
                    tables[part] = self._with_features(tables[part], features, part)
                base = fitted(tables["train"], features, tables["train"].cost_NO.mean(axis=0))
                curves[f"classifier, {features.kind}"] = classifiers(base, tables["validation"])
        return curves

    def _with_features(self, table: Table, features: Features, part: str) -> Table:
        option = self.options[features.option]
        found_ND, spent = self.asker.features(features, self.asker.models[option.model], self.asked.parts[part])
        unit = self.wanted.unit
        reading_N = self.asker.costs(option, spent, unit) if features.kind == "hidden" else np.zeros(len(table))
        return replace(table, seen={**table.seen, features.kind: (found_ND, reading_N)})

    def _measured(
        self,
        tables: dict[str, Table],
        curves: dict[str, list[Ruled]],
        merged: Sequence[Ruled],
        picked: Ruled,
        outcomes: dict[str, list[list[Outcome]]],
    ) -> dict[str, Any]:
        """Everything on the test problems, on which nothing was chosen."""
        test, validation = tables["eval"], tables["validation"]
        names = [option.name for option in self.options]
        singles = [play(Cascade((place,), ()), test) for place in range(len(names))]
        diagonal = controls.mixture([(each.cost, each.accuracy) for each in singles])
        told_curves = {name: [_point(each, test) for each in curve] for name, curve in curves.items()}
        points = [(point["cost"]["mean"], point["accuracy"]["mean"]) for point in map(_pointed(test), merged)]
        against = controls.versus_singles(merged, validation, test, names)
        played = play(picked.rule, test)
        answered = [float((played.option_N == place).mean()) for place in range(len(names))]
        equal = votes_at_equal_cost(self.asker, self.options, outcomes["eval"], played, self.wanted.unit)
        return {
            "unit": self.wanted.unit,
            "wanted": {"accuracy": self.wanted.accuracy, "budget": self.wanted.budget},
            "validation": {"accuracy": picked.accuracy, "cost": picked.cost},
            "test": controls.measured(played, test) | {"answered": answered},
            "singles": [{"option": n} | controls.measured(s, test) for n, s in zip(names, singles, strict=True)],
            "best_single": names[int(np.argmax([each.accuracy for each in singles]))],
            "equal_cost": equal,
            "diagonal": [list(point) for point in diagonal],
            "area_over_diagonal": controls.area_over(points, diagonal),
            "curves": told_curves,
            "versus_singles": against,
            "sentence": controls.sentence(against, self.wanted.unit),
        }

    def _facts(self, seed: int) -> dict[str, Any]:
        task = self.asked.task
        shared = seed == DEFAULT_SEED and not isinstance(task, FixedItems)
        return {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": provenance.command_line(),
            "task": task.name,
            "task_version": task.version,
            "level": None if isinstance(task, FixedItems) else self.asked.level,
            "style": self.asked.style.name,
            "problems": {part: len(self.asked.parts[part]) for part in PARTS},
            "seed": seed,
            "seed_note": SHARED_SEED if shared else None,
            "key": commitment(self.asked.key),
            "prices": self.asker.prices.sources([model.priced_as for model in self.asker.models.values()]),
            "backends": {
                name: facts for name, m in self.asker.models.items() if m.backend and (facts := m.backend.facts())
            },
            "versions": provenance.versions(),
            "machine": str(machine.describe()),
        }


def _pointed(test: Table) -> Any:
    return lambda each: _point(each, test)


def _point(ruled: Ruled, test: Table) -> dict[str, Any]:
    """A rule of a front, chosen on the validation problems, as it does on the test problems."""
    rule = ruled.rule
    told = {"rate": rule.rate} if isinstance(rule, Classifier) else {"order": rule.order, "thresholds": rule.thresholds}
    return {"rule": told, "validation": [ruled.cost, ruled.accuracy]} | controls.measured(play(rule, test), test)
