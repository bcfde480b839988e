"""Asks every option every question, and makes the tables that rules are learned from and measured on."""

from __future__ import annotations

import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from whetstone.engine.prices import PriceTable
from whetstone.engine.rollout import Judge
from whetstone.engine.routing.features import NGRAMS, hidden, ngrams, question_ids
from whetstone.engine.routing.policy import Features, Floats, Option, confidence
from whetstone.engine.samples import Pool, SampleFile
from whetstone.engine.strategies.names import Tools, strategy_of
from whetstone.engine.strategies.questions import question_of
from whetstone.engine.strategies.run import Outcome, run
from whetstone.engine.strategies.spending import Spent, state_flops
from whetstone.engine.verifiers import free_verifiers
from whetstone.errors import UsageError
from whetstone.evals.routing.options import Model
from whetstone.evals.routing.outcomes import Table
from whetstone.runs.progress import Progress
from whetstone.tasks.files.task import FixedItems
from whetstone.tasks.keys import Key, Stream
from whetstone.tasks.task import Message, Problem, PromptStyle, Task, Verdict

COSTS = ("tokens", "flops", "seconds", "usd")
PARTS = ("train", "validation", "eval")


@dataclass(frozen=True)
class Asked:
    """The problems of one route: those that a classifier learns from, those that thresholds are calibrated on, and
    those that nothing was chosen on. No problem, and no cluster, is in two of them."""

    task: Task
    level: int
    style: PromptStyle
    key: bytes
    parts: dict[str, list[Problem]]


def asked_of(task: Task, level: int | None, style: str, seed: int, counts: dict[str, int]) -> Asked:
    """Fresh problems of the three splits; a file's items are divided by chance, whole clusters at a time.

    Raises UsageError for an unknown style or level, or more problems than there are.
    """
    styles = task.styles()
    if style not in styles:
        raise UsageError(f"unknown style {style!r}; choose one of {', '.join(styles)}")
    key = Key.derive(str(seed).encode(), "whetstone route")
    if isinstance(task, FixedItems):
        if level is not None:
            raise UsageError(f"{task.path} holds fixed items, which have no level: leave out --level")
        drawn = task.draw(sum(counts.values()), key)
        return Asked(task, 1, styles[style], key, _divided(drawn.problems, counts, key))
    chosen = task.default_level if level is None else level
    parts = {part: Stream(task, key, part, chosen).take(count, distinct=True) for part, count in counts.items()}
    return Asked(task, chosen, styles[style], key, parts)


def _divided(problems: Sequence[Problem], counts: dict[str, int], key: bytes) -> dict[str, list[Problem]]:
    """Whole clusters in an order that the key draws, for files are often sorted; in the file's order within a part."""
    groups: dict[str, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.cluster or problem.id, []).append(problem)
    share = len(problems) / sum(counts.values())  # a file may hold fewer than were asked for
    parts: dict[str, list[Problem]] = {part: [] for part in counts}
    waiting = list(parts)
    for name in sorted(groups, key=lambda name: hmac.digest(key, name.encode(), "sha256")):
        parts[waiting[0]] += groups[name]
        if len(waiting) > 1 and len(parts[waiting[0]]) >= counts[waiting[0]] * share:
            waiting.pop(0)
    if not all(parts.values()):
        raise UsageError("the file holds too few items for three parts: a route needs more")
    place = {problem.id: number for number, problem in enumerate(problems)}
    return {part: sorted(found, key=lambda problem: place[problem.id]) for part, found in parts.items()}


@dataclass
class Asker:
    """Runs options on problems, with samples that are kept in `file`; `tools` for their strategies."""

    asked: Asked
    models: dict[str, Model]
    file: SampleFile
    progress: Progress
    prices: PriceTable
    tools: Tools = field(default_factory=lambda: Tools(free_verifiers()))

    def outcomes(self, option: Option, problems: Sequence[Problem], where: str) -> list[Outcome]:
        """What the option chose for each problem, and what that cost. Raises what the sampler raises."""
        model = self.models[option.model]
        backend = model.open()
        questions = [question_of(self.asked.task, each, [self.asked.style], self.asked.key) for each in problems]
        strategy = strategy_of(option.strategy, self.tools)
        pool = Pool(backend.sampler, model.samples_of, self.file)
        with self.progress.stage(f"{option.name}, {where}", len(problems)) as stage:
            return run(
                strategy, questions, backend, pool, model.config, lambda done, _: stage.advance(done - stage.done)
            )

    def judged(self, outcomes: Sequence[Outcome], problems: Sequence[Problem]) -> Floats:
        """[N]: 1 for right."""
        judge = Judge(self.asked.task)
        pairs = zip(problems, outcomes, strict=True)
        verdicts = [judge(problem, outcome.choice.text) for problem, outcome in pairs]
        return np.array([float(verdict is Verdict.RIGHT) for verdict in verdicts])

    def costs(self, option: Option, spent: Sequence[Spent], unit: str) -> Floats:
        """[N] in `unit`, one of COSTS. Raises UsageError where it is not known."""
        model = self.models[option.model]
        if unit == "usd":
            if self.prices.of(model.priced_as) is None:
                raise UsageError(f"there is no price for {model.priced_as}: add one to the table of --prices")
            return np.array([self.prices.usd(model.priced_as, each) for each in spent], dtype=np.float64)
        if unit == "flops" and model.config is None:
            raise UsageError(f"nobody knows the FLOPs of {model.name}: choose another --cost")
        return np.array([getattr(each, unit) for each in spent], dtype=np.float64)

    def features(self, kind: Features, model: Model, problems: Sequence[Problem]) -> tuple[Floats, list[Spent]]:
        """[N, D], and what computing them costs."""
        texts = [question_text(self.asked.style.messages(self.asked.task, each)) for each in problems]
        if kind.kind == "ngrams":
            return np.array([ngrams(text, kind.size) for text in texts]), [Spent() for _ in texts]
        engine, loaded = model.engine, model.loaded
        assert engine is not None and loaded is not None, "hidden states are a local model's"
        rows, spent = [], []
        for text in texts:
            count = len(question_ids(engine, loaded.tokenizer, text))
            began = time.perf_counter()
            rows.append(hidden(engine, loaded.tokenizer, text))
            seconds = time.perf_counter() - began
            spent.append(
                Spent(
                    prompt_tokens=count,
                    seconds=seconds,
                    flops=state_flops(loaded.model.config, count, 0, loaded.model.config.layers),
                )
            )
        return np.array(rows), spent


def question_text(messages: Sequence[Message]) -> str:
    """What a classifier reads of a chat: what the user said last."""
    return next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")


def features_of(options: Sequence[Option], models: dict[str, Model], order: Sequence[int]) -> list[Features]:
    """N-grams, and hidden states of the cheapest option whose model is here."""
    found = [Features("ngrams", NGRAMS)]
    for place in order:
        model = models[options[place].model]
        if model.engine is not None and model.config is not None:
            return [*found, Features("hidden", model.config.width, place)]
    return found


def table_of(
    asker: Asker, options: Sequence[Option], outcomes: Sequence[Sequence[Outcome]], part: str, unit: str
) -> Table:
    """The table of one part without features."""
    problems = asker.asked.parts[part]
    right = [asker.judged(each, problems) for each in outcomes]
    sure = [[confidence(outcome.choice) for outcome in each] for each in outcomes]
    pairs = zip(options, outcomes, strict=True)
    cost = [asker.costs(option, [outcome.spent for outcome in each], unit) for option, each in pairs]
    ids, clusters = tuple(p.id for p in problems), tuple(p.cluster for p in problems)
    right_NO, sure_NO, cost_NO = (np.array(each, dtype=np.float64).T for each in (right, sure, cost))
    return Table(right_NO, sure_NO, cost_NO, {}, ids, clusters)


def require_folder(path: Path, known: str) -> None:
    """Make the folder. Raises UsageError for one that holds something else than a route in the making."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in path.iterdir() if not entry.name.startswith(".")}
    except OSError as failure:
        raise UsageError(f"cannot use the folder {path} ({failure.strerror}): choose another --out") from failure
    if names and known not in names:
        raise UsageError(f"{path} is not empty and no route of `whet route`: choose another --out")
