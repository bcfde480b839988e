"""Models one after the other, tasks one after the other: what is loaded when, and what is made of the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whetstone.engine.backends import Backend, local
from whetstone.engine.prices import Hourly
from whetstone.engine.remote.endpoint import Endpoint
from whetstone.engine.remote.usage import Prices
from whetstone.engine.samples import Pool, SampleFile
from whetstone.engine.strategies.names import Tools
from whetstone.engine.strategies.spending import Spent
from whetstone.engine.verifiers.head import HeadVerifier
from whetstone.errors import UsageError, WorkFailed
from whetstone.evals.evaluate import Asked, unanswered
from whetstone.evals.looks import count_look
from whetstone.evals.measure import Scores
from whetstone.evals.scaling.asking import Asker, questions_of
from whetstone.evals.scaling.break_even import train_or_think
from whetstone.evals.scaling.folder import SAMPLES
from whetstone.evals.scaling.measuring import Measured, measure
from whetstone.evals.scaling.plan import Plan, Subject
from whetstone.evals.scaling.points import COSTS, Point
from whetstone.evals.scaling.pool import SharedPool
from whetstone.evals.scaling.reading import cheapest, knees, read_points
from whetstone.evals.scaling.settings import settings_of
from whetstone.evals.scaling.tools import made_here, tools_for
from whetstone.evals.scaling.training_cost import mean_prompt
from whetstone.evals.scaling.wishes import everything
from whetstone.models.hub import is_endpoint
from whetstone.models.loading import Loaded, load
from whetstone.runs.progress import Progress, Stage
from whetstone.tasks.baselines import majority_answer
from whetstone.tasks.files.task import FixedItems
from whetstone.tasks.task import Verdict, judge

GUESSES = 500  # training problems among whose answers the most frequent one is looked for


@dataclass
class Answering:
    """One call of `scale` at work."""

    folder: Path
    plan: Plan
    progress: Progress

    def all(self) -> tuple[list[dict[str, Any]], list[Any]]:
        """The measurements as JSON, model by model, and the comparisons of trained models with their bases."""
        subjects, asked = self.plan.subjects, self.plan.asked
        told: list[dict[str, Any]] = []
        points: dict[tuple[str, int], list[Point]] = {}
        file = SampleFile(self.folder / SAMPLES)
        try:
            for subject in subjects:
                loaded, backend = self._open(subject)
                for place, each in enumerate(asked):
                    ahead = [_stage(s, a) for s in subjects for a in asked][len(told) :]
                    began = self.progress.clock()
                    row, points[subject.name, place] = self._measure(subject, loaded, backend, each, file)
                    told.append(row)
                    # the others will take about as long as this one did
                    self.progress.expect(dict.fromkeys(ahead, self.progress.clock() - began))
                subject.backend = backend.facts()
        finally:
            file.close()
        compared = []
        by_name = {subject.name: subject for subject in subjects}
        for subject in subjects:
            if subject.base is not None and subject.one_off is not None:
                for place, each in enumerate(asked):
                    pair = points[by_name[subject.base].name, place], points[subject.name, place]
                    compared.append(self._compared(subject, each, *pair))
        return told, compared

    def _open(self, subject: Subject) -> tuple[Loaded | None, Backend]:
        source = subject.source
        if source.backend == "local" and not is_endpoint(source.model):
            loaded = load(source.model, source.device)
            subject.config = loaded.model.config
            if subject.cost is not None and subject.run is not None:
                subject.one_off = self._one_off(subject, loaded)
            return loaded, local(loaded)
        return None, source.open()

    def _one_off(self, subject: Subject, loaded: Loaded) -> dict[str, Any]:
        assert subject.cost is not None and subject.run is not None and subject.config is not None
        try:
            prompt = mean_prompt(subject.run, loaded.tokenizer)
        except (UsageError, KeyError) as error:
            self.progress.message(f"the prompts of the run in {subject.run} are not counted: {error}")
            prompt = 0.0
        flops = subject.cost.flops(subject.config, prompt)
        price = self._price(subject)
        usd = subject.cost.seconds * price.usd_per_hour / 3600 if isinstance(price, Hourly) else None
        return {"prompt_tokens": prompt, "flops": flops, "seconds": subject.cost.seconds, "usd": usd}

    def _price(self, subject: Subject) -> Prices | Hourly | None:
        return self.plan.prices.of(subject.priced_as)

    def _measure(
        self, subject: Subject, loaded: Loaded | None, backend: Backend, asked: Asked, file: SampleFile
    ) -> tuple[dict[str, Any], list[Point]]:
        uncounted = _uncounted(backend)
        tools = self._tools(subject, loaded, backend, asked, file)
        needed = [verifier.params_needed.get("top_logprobs", 0) for verifier in tools.verifiers.values()]
        pool = SharedPool(
            backend.sampler,
            subject.identity,
            file,
            top_logprobs=max(needed, default=0),
            room=asked.style.room(asked.task),
            temperature=subject.temperature,
        )
        price = self._price(subject)
        if price is None and isinstance(backend.sampler, Endpoint):
            price = backend.sampler.settings.prices
        asker = Asker(backend, pool, subject.config, tools, price)
        questions = questions_of(asked)
        wishes = everything(tools) if self.plan.wishes is None else self.plan.wishes
        strict = self.plan.wishes is not None
        settings, left_out = settings_of(wishes, self.plan.budgets, questions, asker, strict)
        n = len(questions)
        pooled = [each.pooled.count for each in settings if each.pooled]
        total = n * max(pooled, default=0) + sum(each.units(n) for each in settings)
        with self.progress.stage(_stage(subject, asked), total) as stage:
            measured = measure(asked, asker, settings, questions, _shown_by(stage), strict)
            stage.total = stage.done
        _require_answers(backend, pool)
        told = self._told(subject, asked, measured, left_out) | {"uncounted": _uncounted(backend) - uncounted}
        return told | {"verifier": about_head(tools)}, measured.points

    def _tools(
        self, subject: Subject, loaded: Loaded | None, backend: Backend, asked: Asked, file: SampleFile
    ) -> Tools:
        chosen: Path | None = None
        if isinstance(self.plan.verifier, Path):
            chosen = self.plan.verifier
        elif self.plan.verifier == "new" and loaded is not None:
            pool = Pool(backend.sampler, subject.identity, file)
            chosen = made_here(
                self.folder, subject.name, loaded, backend, pool, asked, subject.temperature, self.progress
            )
        try:
            return tools_for(loaded, asked.task, subject.temperature, chosen)
        except UsageError as error:
            if len(self.plan.subjects) == 1:
                raise
            self.progress.message(f"{subject.name} goes without the verifier: {error}")  # it belongs to another model
            return tools_for(loaded, asked.task, subject.temperature, None)

    def _told(
        self, subject: Subject, asked: Asked, measured: Measured, left_out: list[dict[str, str]]
    ) -> dict[str, Any]:
        ids = [problem.id for problem in asked.problems]
        clusters = [problem.cluster for problem in asked.problems]
        known = clusters if any(clusters) else None
        rows = read_points(measured.points, ids, clusters)
        told: dict[str, Any] = {
            "model": subject.name,
            "task": asked.task.name,
            "task_version": asked.task.version,
            "level": None if isinstance(asked.task, FixedItems) else asked.level,
            "n": len(ids),
            "room": asked.style.room(asked.task),
            "pools": measured.pools,
            "guess": guess_rate(asked),
            "points": [row | {"per_problem": p.rows()} for row, p in zip(rows, measured.points, strict=True)],
            "knees": knees(measured.points, known),
            "cheapest": None if self.plan.want is None else cheapest(measured.points, self.plan.want, ids, clusters),
            "calibrations": measured.calibrations,
            "left_out": left_out + measured.left_out,
            "problems": ids,
            "clusters": clusters,
        }
        return told | {"looks": self._look(subject, asked, told)}

    def _look(self, subject: Subject, asked: Asked, told: dict[str, Any]) -> dict[str, int] | None:
        first = next((row for row in told["points"] if row["kind"] == "method"), None)
        if first is None:
            return None
        result = {name: told[name] for name in ("task", "task_version")} | {"key": asked.facts["key"]}
        level = {} if told["level"] is None else {"level": told["level"]}
        return count_look(subject.source, result | level | {"accuracy": first["accuracy"]}, self.progress)

    def _compared(
        self, subject: Subject, asked: Asked, base: Sequence[Point], sharpened: Sequence[Point]
    ) -> dict[str, Any]:
        assert subject.one_off is not None and subject.cost is not None
        one_off = {**subject.one_off, "flops": subject.one_off["flops"]["total"]}
        ids, clusters = [p.id for p in asked.problems], [p.cluster for p in asked.problems]
        found = {
            cost: train_or_think(base, sharpened, one_off[cost], cost, ids, clusters)
            for cost in COSTS
            if one_off.get(cost) is not None
        }
        trained_on = subject.cost.task == asked.task.name and subject.cost.level == asked.level
        told = {"base": subject.base, "trained": subject.name, "task": asked.task.name, "level": asked.level}
        return {**told, "trained_on": trained_on, "by": found}


def _stage(subject: Subject, asked: Asked) -> str:
    return f"{subject.name}, {asked.task.name} level {asked.level}"


def _shown_by(stage: Stage) -> Any:
    def show(units: int, note: str) -> None:
        stage.advance(units, note)

    return show


def _uncounted(backend: Backend) -> int:
    """Answers so far of which an endpoint did not say how many tokens they took."""
    facts = backend.facts()
    return 0 if facts is None else int(facts["usage"]["uncounted"])


def _require_answers(backend: Backend, pool: SharedPool) -> None:
    """Raises WorkFailed where an endpoint gave nothing at all: that is no measurement."""
    facts = backend.facts()
    if facts is not None and pool.found == 0 and 0 < pool.drawn <= unanswered(facts):
        raise WorkFailed(f"not one of {pool.drawn} requests was answered, the last for this: {facts['last_failure']}")


def about_head(tools: Tools) -> dict[str, Any] | None:
    """What the learned verifier was made from, what that cost, and what it is worth: {task, level, problems, samples,
    tokens, flops, seconds, auc_within, words}. None without one."""
    head = tools.verifiers.get("head")
    if not isinstance(head, HeadVerifier):
        return None
    quality = head.about["quality"]
    spent = Spent(**quality["spent"])
    told = {name: quality[name] for name in ("task", "level", "problems", "samples", "auc_within", "words")}
    return told | {"tokens": spent.tokens, "flops": spent.flops, "seconds": spent.seconds}


def guess_rate(asked: Asked) -> dict[str, Any] | None:
    """{text, accuracy}: how often the most frequent right answer of other problems is right here, which needs no model;
    None where the task gives no answers."""
    if isinstance(asked.task, FixedItems):
        return None
    text = majority_answer(asked.task, asked.level, asked.key, GUESSES)
    if text is None:
        return None
    right = [int(judge(asked.task, problem, text) is Verdict.RIGHT) for problem in asked.problems]
    clusters = [problem.cluster for problem in asked.problems]
    return {"text": text, "accuracy": Scores([p.id for p in asked.problems], right, clusters).accuracy().to_dict()}
