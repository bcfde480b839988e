"""The audit of a model: its scores on the items of a seed, beside siblings that were contaminated on purpose.

Every stage leaves its scores in DIR/stages; a killed audit goes on from there, and one with the same settings only
reads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from whetstone.engine.engine import Engine
from whetstone.errors import UsageError
from whetstone.evals.contamination import report
from whetstone.evals.contamination.items import Item, ItemSet, suspects
from whetstone.evals.contamination.measure import STEPS, Scores, greedy_right, measured
from whetstone.evals.contamination.page import render
from whetstone.evals.contamination.siblings import DOSES, EFFORTS, Sibling, pools, train
from whetstone.files import atomic_write_json, atomic_write_text
from whetstone.models.loading import Loaded, load
from whetstone.runs.progress import Progress
from whetstone.runs.stages import Stages
from whetstone.tasks.keys import DEFAULT_SEED, Key
from whetstone.tasks.registry import load_task
from whetstone.tasks.task import Task

LEAST_ITEMS = 12


@dataclass(frozen=True)
class Plan:
    """What is asked: `n` items of `seed`, against twice as many fresh twins. `planted`: whether the items were
    published with the canaries of their key; `references`: models that are taken for clean, for the twin gap."""

    model: str
    task: str
    level: int
    n: int = 60
    seed: str = str(DEFAULT_SEED)
    effort: str = "quick"
    planted: bool = False
    style: str = "only"
    device: str = "cpu"
    references: tuple[str, ...] = ()

    def check(self, task: Task) -> None:
        """Raises UsageError for what cannot be done, before anything is loaded."""
        task.require_level(self.level)
        if self.effort not in EFFORTS:
            raise UsageError(f"unknown effort {self.effort!r}; choose one of {', '.join(EFFORTS)}")
        if self.style not in task.styles():
            raise UsageError(f"unknown style {self.style!r}; choose one of {', '.join(task.styles())}")
        if self.n < LEAST_ITEMS:
            raise UsageError(f"an audit needs at least {LEAST_ITEMS} items: fewer cannot be told from luck")


def audit_model(
    model: str, task: str, folder: Path, progress: Progress, level: int | None = None, **options: Any
) -> dict[str, Any]:
    """Audit `model` on a task's items; the report, which is also in DIR/audit.json and, as a page, in DIR/audit.html.
    `options`: the fields of `Plan`.

    Raises UsageError for wrong options and for a directory that holds something else, WorkFailed when training fails.
    """
    judged = load_task(task)
    asked = Plan(model, task, judged.default_level if level is None else level, **options)
    asked.check(judged)
    audit = Audit(asked, judged, folder, progress)
    try:
        with FileLock(folder / ".lock", timeout=0):
            found = audit.run()
            atomic_write_json(folder / "audit.json", found)
            atomic_write_text(folder / "audit.html", render(found))
    except Timeout:
        raise UsageError(f"{folder} is in use by another process: wait for it, or choose another --out") from None
    return found


class Audit:
    """One audit in a directory."""

    def __init__(self, asked: Plan, task: Task, folder: Path, progress: Progress) -> None:
        self.asked, self.task, self.folder, self.progress = asked, task, folder, progress
        self.effort = EFFORTS[asked.effort]
        self.items, self.twins = suspects(task, asked.level, asked.seed, asked.n, 2 * asked.n, asked.n // 3)
        if not asked.planted:
            self.items, self.twins = ItemSet(self.items.items), ItemSet(self.twins.items)
        self.key = Key.derive(asked.seed.encode(), "whetstone audit control")
        known = (*self.items.items, *self.twins.items)
        self.drawn = pools(task, asked.level, self.key, self.effort, known)
        self._claim()

    def _claim(self) -> None:
        """Make the directory this audit's own. Raises UsageError when it is something else's."""
        wanted = {**asdict(self.asked), "references": list(self.asked.references), "version": self.task.version}
        path = self.folder / "config.json"
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            for name, value in wanted.items():
                if found.get(name) != value:
                    raise UsageError(
                        f"{self.folder} holds an audit with {name} {found.get(name)!r}, not {value!r}: "
                        "choose another --out"
                    )
        elif self.folder.exists() and any(each.name != ".lock" for each in self.folder.iterdir()):
            raise UsageError(f"{self.folder} is not empty and no audit of ours: choose another --out")
        else:
            atomic_write_json(path, wanted)

    def run(self) -> dict[str, Any]:
        """Every stage that is not done yet, then the report. The caller holds the directory."""
        stages = Stages(self.folder / "stages")
        own = {
            name: stages.once(f"model-{name}", lambda s=subjects, n=name: self._model(n, s))  # type: ignore[misc]
            for name, subjects in (("items", self.items), ("twins", self.twins))
        }
        base = stages.once("control-base", self._base)
        controls: dict[str, Any] = {}
        for sibling in self.effort.siblings:
            found = stages.once(f"sibling-{sibling.name}", lambda s=sibling: self._contaminated(s))  # type: ignore[misc]
            for group, scores in found["scores"].items():
                scores["references"] = [base[group]]
            controls[sibling.name] = found
        if self.asked.references:
            rights = stages.once("references", self._references)
            own["items"]["references"], own["twins"]["references"] = rights["items"], rights["twins"]
        facts = {
            **asdict(self.asked),
            "references": list(self.asked.references),
            "twins": len(self.twins.items),
            "control_items": {"members": self.effort.members, "fresh": self.effort.fresh, "doses": list(DOSES)},
            "example": self.items.items[0].text,
            "seconds": stages.seconds,
        }
        return report.build(facts, own["items"], own["twins"], controls)

    def _load(self, spec: str) -> Loaded:
        return load(spec, self.asked.device)

    def _model(self, name: str, subjects: ItemSet) -> Scores:
        loaded = self._load(self.asked.model)
        with self.progress.stage(f"model on {name}", STEPS) as stage:
            # the order of twins means nothing: nobody published them
            ordered = name == "items"
            return measured(loaded, self.task, subjects, self.asked.style, stage.advance, ordered)

    def _groups(self) -> dict[str, ItemSet]:
        return {"fresh": self.drawn.fresh, **{str(dose): each for dose, each in self.drawn.leaked.items()}}

    def _base(self) -> dict[str, Any]:
        """The unharmed model's right answers to the control's items: the siblings' reference."""
        groups = self._groups()
        with self.progress.stage("reference", len(groups)) as stage:
            loaded, found = self._load(self.asked.model), {}
            for name, subjects in groups.items():
                found[name] = self._right(loaded, subjects.items)
                stage.advance()
        return found

    def _references(self) -> dict[str, Any]:
        found: dict[str, list[list[int]]] = {"items": [], "twins": []}
        with self.progress.stage("references", len(self.asked.references)) as stage:
            for spec in self.asked.references:
                loaded = self._load(spec)
                found["items"].append(self._right(loaded, self.items.items))
                found["twins"].append(self._right(loaded, self.twins.items))
                stage.advance()
        return found

    def _right(self, loaded: Loaded, items: Sequence[Item]) -> list[int]:
        return greedy_right(loaded, Engine(loaded.model), self.task, self.asked.style, items)

    def _contaminated(self, sibling: Sibling) -> dict[str, Any]:
        """Train one sibling, keep its scores, let its weights go."""
        loaded = self._load(self.asked.model)
        with self.progress.stage(f"train {sibling.name}", 1) as stage:

            def show(done: int, total: int, note: str) -> None:
                stage.total = total
                stage.advance(done - stage.done, note)

            asked = self.asked
            note = train(loaded, self.task, asked.level, asked.style, self.drawn, sibling, self.key, show)
        scores: dict[str, Scores] = {}
        if not note:
            groups = self._groups()
            with self.progress.stage(f"score {sibling.name}", STEPS * len(groups)) as stage:
                for name, subjects in groups.items():
                    scores[name] = measured(loaded, self.task, subjects, self.asked.style, stage.advance)
        return {"scores": scores, "note": note}
