"""What one pool of independent samples says all about: votes, best-of-k, pass@k, at every k at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from whetstone.engine.protocol import SamplingParams
from whetstone.engine.strategies.strategy import Candidate, Question, Verifier, candidate
from whetstone.errors import UsageError
from whetstone.evals.evaluate import Asked
from whetstone.evals.scaling import closed
from whetstone.evals.scaling.asking import Asker, Judging, Show
from whetstone.evals.scaling.closed import PooledQuestion
from whetstone.evals.scaling.points import Kind, Point, finished
from whetstone.evals.scaling.settings import Setting
from whetstone.evals.statistics.clusters import Floats
from whetstone.tasks.task import Verdict


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
        spent_NF = closed.spent_at(pool, k, verifier)
        return finished(method, name, k, kind, "expectation", right_N, spent_NF, asker.price, failed[k])

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
