"""All points of one model on one task and level: a pool for what can be computed from one, a run for the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from whetstone.engine.backends import Backend
from whetstone.engine.prices import Hourly
from whetstone.engine.protocol import Completion, SamplingParams
from whetstone.engine.remote.usage import Prices
from whetstone.engine.rollout import UNANSWERED, Judge, PromptTooLong
from whetstone.engine.strategies.names import Tools, strategy_of
from whetstone.engine.strategies.parallel import Parallel
from whetstone.engine.strategies.questions import question_of
from whetstone.engine.strategies.run import Outcome, run
from whetstone.engine.strategies.strategy import Candidate, Question, Strategy, Verifier, candidate
from whetstone.errors import UsageError
from whetstone.evals.evaluate import Asked
from whetstone.evals.scaling import closed
from whetstone.evals.scaling.closed import PooledQuestion
from whetstone.evals.scaling.points import Kind, Point, dollars, rounded, spent_matrix
from whetstone.evals.scaling.pool import SharedPool
from whetstone.evals.scaling.wishes import Wish
from whetstone.evals.statistics.clusters import Floats
from whetstone.models.config import ModelConfig
from whetstone.tasks.task import Problem, PromptStyle, Verdict

Show = Callable[[int, str], None]  # units of work that are done now, a few words


@dataclass(frozen=True)
class Setting:
    """One strategy to be measured: a wish at a budget."""

    wish: Wish
    budget: int
    name: str
    strategy: Strategy

    @property
    def pooled(self) -> Parallel | None:
        """The strategy, where a pool of independent samples says all about it."""
        return self.strategy if isinstance(self.strategy, Parallel) and self.strategy.wordings == 1 else None

    @property
    def verifier(self) -> str:
        """The name of what chooses among the samples of a pool; empty where nothing does."""
        found = self.pooled.verifier if self.pooled else None
        return found.name if found else ""

    def units(self, n: int) -> int:
        """About how many completions it asks for, for the time left; a pool is counted apart."""
        return 0 if self.pooled else n * max(1, self.budget)


@dataclass(frozen=True)
class Asker:
    """A model that can be asked: its backend and pool, its shape where it is known (for FLOPs), what an hour or a token
    of it costs, and the tools of its strategies."""

    backend: Backend
    pool: SharedPool
    config: ModelConfig | None
    tools: Tools
    price: Prices | Hourly | None = None


@dataclass
class Measured:
    """What one model did on one task and level. `pools`: about the samples of each temperature."""

    points: list[Point] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    pools: list[dict[str, Any]] = field(default_factory=list)


class Judging:
    """Verdicts of one problem's texts, each text judged once."""

    def __init__(self, asked: Asked) -> None:
        self.judge = Judge(asked.task)
        self.known: dict[tuple[str, str], Verdict] = {}

    def __call__(self, problem: Problem, text: str) -> Verdict:
        key = problem.id, text
        if key not in self.known:
            self.known[key] = self.judge(problem, text)
        return self.known[key]

    def completion(self, problem: Problem, completion: Completion, text: str) -> Verdict:
        """The verdict on what came back; what never came is not judged."""
        return UNANSWERED[completion.finish] if completion.finish in UNANSWERED else self(problem, text)

    def outcome(self, problem: Problem, outcome: Outcome) -> Verdict:
        """The verdict on what a strategy chose."""
        choice = outcome.choice
        if choice.answer is None and choice.of and choice.of[0].completion.finish in UNANSWERED:
            return UNANSWERED[choice.of[0].completion.finish]
        return self(problem, choice.text)


def questions_of(asked: Asked) -> list[Question]:
    """The problems in the style asked for; other wordings that need no more room stand behind it, for ensembles."""
    others = [
        style
        for style in asked.task.styles().values()
        if style != asked.style and not style.withholds and style.reasoning <= asked.style.reasoning
    ]
    styles: list[PromptStyle] = [asked.style, *others]
    return [question_of(asked.task, problem, styles, asked.key) for problem in asked.problems]


def settings_of(
    wishes: Sequence[Wish], budgets: Sequence[int], questions: Sequence[Question], asker: Asker, strict: bool
) -> tuple[list[Setting], list[dict[str, str]]]:
    """Every strategy to be measured, and those that cannot be, with the reason.

    Raises UsageError for a wish of which no setting can be where `strict` (it was asked for by name).
    """
    found: list[Setting] = []
    left_out: list[dict[str, str]] = []
    for wish in wishes:
        failed: list[dict[str, str]] = []
        settings = wish.settings(budgets, questions[0].room)
        for budget, name in settings:
            try:
                setting = Setting(wish, budget, name, strategy_of(name, asker.tools))
                _require_possible(setting, questions[0], asker.backend)
                found.append(setting)
            except UsageError as error:
                failed.append({"method": name, "why": str(error)})
        if failed and len(failed) == len(settings):  # no setting works: the method is what cannot be
            if strict:
                raise UsageError(failed[-1]["why"])
            failed = [{"method": wish.name, "why": failed[-1]["why"]}]
        if not settings:
            failed = [{"method": wish.name, "why": "none of the budgets is large enough for it"}]
        left_out += failed
    return found, left_out


def _require_possible(setting: Setting, question: Question, backend: Backend) -> None:
    strategy = setting.strategy
    if isinstance(strategy, Parallel) and strategy.wordings > 1 and len(question.prompts) == 1:
        raise UsageError(f"{setting.name}: the task has no second wording that needs no more room")
    if setting.pooled is None:
        started = strategy.solve(question, backend)
        next(started, None)  # it looks at the backend before it asks for the first thing
        started.close()


def measure(
    asked: Asked, asker: Asker, settings: Sequence[Setting], questions: Sequence[Question], show: Show, strict: bool
) -> Measured:
    """All points. Raises PromptTooLong before anything is sampled, WorkFailed when the task's check is broken, and what
    the sampler raises. What this backend's answers are not enough for (a verifier and what goes by it, or a method) is
    left out, or raises its UsageError where `strict`."""
    _require_room(questions, asker.backend)
    measured, judging = Measured(), Judging(asked)
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
    for setting in settings:
        if setting.pooled is None:
            try:
                measured.points.append(run_point(asked, asker, setting, questions, judging, show))
            except UsageError as error:  # what was written lacks something that this method reads, as log-probabilities
                if strict:
                    raise
                why = {"method": setting.wish.name, "why": str(error)}
                measured.left_out += [why] if why not in measured.left_out else []
    order = list(dict.fromkeys(setting.wish.name for setting in settings))
    kinds = ("method", "control", "oracle")
    measured.points.sort(key=lambda p: (kinds.index(p.kind), order.index(p.method) if p.method in order else 0))
    return measured


def _require_room(questions: Sequence[Question], backend: Backend) -> None:
    if backend.tokenizer is None or backend.positions is None:
        return
    for question in questions:
        prompt = len(backend.tokenizer.chat_ids(list(question.prompts[0])))
        if prompt + question.room > backend.positions:
            raise PromptTooLong(
                f"a prompt has {prompt} tokens and its answer may take {question.room}, but the model takes "
                f"{backend.positions} in all: ask shorter questions or allow shorter answers"
            )


# -- from a pool ---------------------------------------------------------------------------------------------


def draw_pool(
    asked: Asked,
    asker: Asker,
    settings: Sequence[Setting],
    questions: Sequence[Question],
    judging: Judging,
    show: Show,
) -> tuple[list[PooledQuestion], dict[str, str]]:
    """As many samples of each question as the largest of the settings takes, judged and scored; and, by the name of a
    verifier that could not score them, why."""
    strategies = [each.pooled for each in settings if each.pooled]
    count, warmth = max(each.count for each in strategies), strategies[0].temperature
    verifiers = {each.verifier.name: each.verifier for each in strategies if each.verifier is not None}
    backend, needed = asker.backend, dict[str, Any]()
    for verifier in verifiers.values():
        needed |= verifier.params_needed
    params = SamplingParams(questions[0].room, warmth, backend.stop_ids, **needed)
    seeds = [tuple(question.seed(member) for member in range(count)) for question in questions]
    requests = [backend.request(list(q.prompts[0]), s) for q, s in zip(questions, seeds, strict=True)]
    last = 0

    def drawn(done: int, _wanted: int) -> None:
        nonlocal last
        show(done - last, "")
        last = done

    sampled = asker.pool.sample(requests, params, drawn)
    found, candidates = [], []
    for problem, question, request, samples in zip(asked.problems, questions, requests, sampled, strict=True):
        once_F, each_F = closed.costs(request, samples, asker.config)
        candidates.append([candidate(question, backend, request, each.completion) for each in samples])
        found.append(
            PooledQuestion(
                answers=tuple(each.answer for each in candidates[-1]),
                verdicts=tuple(judging.completion(problem, each.completion, each.text) for each in candidates[-1]),
                finishes=tuple(each.completion.finish for each in samples),
                tokens=tuple(each.completion.length for each in samples),
                once_F=once_F,
                each_F=each_F,
            )
        )
    return _scored(found, candidates, verifiers, show)


def _scored(
    pool: Sequence[PooledQuestion],
    candidates: Sequence[Sequence[Candidate]],
    verifiers: Mapping[str, Verifier],
    show: Show,
) -> tuple[list[PooledQuestion], dict[str, str]]:
    """The pool with every verifier's scores, and why some could not say anything."""
    scores: list[dict[str, closed.Scored]] = [{} for _ in pool]
    failed: dict[str, str] = {}
    for name, verifier in verifiers.items():
        try:
            for place, of_question in enumerate(candidates):
                began = time.perf_counter()
                said = verifier.score(of_question)
                scores[place][name] = closed.scored(said, time.perf_counter() - began)
                show(0, f"{name}: {place + 1} of {len(pool)} scored")
        except UsageError as error:
            failed[name] = str(error)
    return [replace(each, scores=said) for each, said in zip(pool, scores, strict=True)], failed


def about_pool(pool: Sequence[PooledQuestion]) -> dict[str, Any]:
    """{samples, verdicts, failures, truncated, silent, tokens_per_answer} of the samples, whatever is made of them."""
    verdicts = Counter(verdict.value for each in pool for verdict in each.verdicts)
    drawn = sum(len(each.verdicts) for each in pool)
    return {
        "samples": len(pool[0].verdicts),
        "verdicts": {verdict.value: verdicts[verdict.value] for verdict in Verdict},
        "failures": closed.failures_at(pool, len(pool[0].verdicts)),
        "truncated": sum(each.finishes.count("length") for each in pool) / drawn,
        "silent": sum(each.answers.count(None) for each in pool) / drawn,
        "tokens_per_answer": sum(sum(each.tokens) for each in pool) / drawn,
    }


def points_of_pool(
    settings: Sequence[Setting], pool: Sequence[PooledQuestion], asker: Asker, where: str
) -> list[Point]:
    """The settings' points, and beside them the oracle pass@k and the shuffled scores of each best-of."""

    def point(method: str, name: str, k: int, kind: Kind, right_N: Floats, verifier: str | None) -> Point:
        return finished(
            method, name, k, kind, right_N, closed.spent_at(pool, k, verifier), asker, "expectation", failed[k]
        )

    counts = sorted({each.pooled.count for each in settings if each.pooled})
    failed = {k: closed.failures_at(pool, k) for k in counts}
    found = []
    for each in settings:
        strategy = each.pooled
        assert strategy is not None
        k, verifier = strategy.count, None if strategy.verifier is None else strategy.verifier.name
        right_N = closed.right_at(pool, strategy.how, k, verifier)
        found.append(point(each.wish.name, each.name, k, "method", right_N, verifier))
        if strategy.how == "best":
            name = f"{each.wish.name}, scores shuffled"
            found.append(
                point(name, f"{each.name}, scores shuffled", k, "control", closed.random_at(pool, k), verifier)
            )
    oracle = [point(f"pass@k{where}", f"pass@{k}{where}", k, "oracle", closed.pass_at(pool, k), None) for k in counts]
    return found + oracle


def finished(
    method: str,
    name: str,
    budget: int,
    kind: Kind,
    right_N: Floats,
    spent_NF: Floats,
    asker: Asker,
    how: Any,
    failures: Mapping[str, float],
) -> Point:
    """A point whose values are those that a file will hold."""
    spent_NF = rounded(spent_NF)
    usd_N = dollars(spent_NF, asker.price)
    usd_N = None if usd_N is None else rounded(usd_N)
    return Point(method, name, budget, kind, how, rounded(right_N), spent_NF, usd_N, dict(failures))


# -- one run each --------------------------------------------------------------------------------------------


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
    return finished(name, setting.name, setting.budget, "method", right_N, spent_NF, asker, "run", failures)
