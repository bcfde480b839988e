"""Measure one model on one task: the function behind `whet eval` and `whetstone.evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whetstone.engine.backends import Source
from whetstone.engine.rollout import Questioner
from whetstone.errors import UsageError, WorkFailed
from whetstone.evals.measure import REASONING_ROOM, measure_greedy, measure_sampled
from whetstone.runs.progress import Progress
from whetstone.tasks.keys import Key, Stream, commitment
from whetstone.tasks.registry import load_task

DEFAULT_STYLE = "only"  # the one without room for reasoning


def evaluate(
    model: str | Source,
    task: str,
    *,
    level: int | None = None,
    n: int = 500,
    samples: int = 1,
    style: str = DEFAULT_STYLE,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Ask `n` different problems of the evaluation split; greedy, or `samples` answers each at temperature 1.

    `model`: a name, or a `Source` for an endpoint or vLLM, which brings its own device.

    Returns {model, task, level, accuracy {mean, low, high, n}, verdicts, tokens_per_answer, truncated, key}, with
    `pass_at_k` rows when several samples were drawn, and `backend` {kind, model, usage, failures, cost, …} for an
    endpoint. Raises UsageError for an unknown model, task, level or style, WorkFailed when an endpoint never answers.
    """
    source = model if isinstance(model, Source) else Source(model, device=device)
    judged = load_task(task)
    styles = judged.styles()
    if style not in styles:
        raise UsageError(f"unknown style {style!r}; choose one of {', '.join(styles)}")
    chosen = judged.default_level if level is None else level
    key = Key.derive(str(seed).encode(), "whetstone eval")
    problems = Stream(judged, key, "eval", chosen).take(n, distinct=True)
    backend = source.open()
    questioner = Questioner(backend.sampler, backend.tokenizer, judged, styles[style], positions=backend.positions)
    room = judged.max_new_tokens * (1 if style == DEFAULT_STYLE else REASONING_ROOM)
    result: dict[str, Any] = {"model": source.model, "task": judged.name, "level": chosen, "style": style}
    with (progress or Progress()).stage("answers", n * samples) as stage:

        def show(done: int, _wanted: int) -> None:
            stage.advance(done - stage.done)

        if samples == 1:
            measured = measure_greedy(questioner, problems, room, show)
            result["accuracy"] = measured.accuracy().to_dict()
        else:
            measured = measure_sampled(questioner, problems, samples, room, key, show)
            ks = [k for k in (1, 2, 4, 8, 16, 32, 64, 128, 256) if k <= samples]
            result["pass_at_k"] = measured.pass_at(ks)
            result["accuracy"] = {name: value for name, value in result["pass_at_k"][0].items() if name != "k"}
    if facts := backend.facts():
        result["backend"] = facts
        if unanswered(facts) == n * samples:
            raise WorkFailed(
                f"not one of {n * samples} requests was answered, the last for this: {facts['last_failure']}"
            )
    return result | {
        "verdicts": measured.mix(),
        "tokens_per_answer": measured.tokens_per_answer(),
        "truncated": measured.truncated_share(),
        "key": commitment(key),
    }


def unanswered(facts: Mapping[str, Any]) -> int:
    """How many answers an endpoint failed to give, by the facts of its backend. A refusal is an answer."""
    return int(facts["failures"].get("error", 0) + facts["failures"].get("timeout", 0))
