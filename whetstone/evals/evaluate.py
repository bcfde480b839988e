"""Measure one model on one task: the function behind `whet eval` and `whetstone.evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whetstone.engine.backends import Source
from whetstone.engine.rollout import Questioner
from whetstone.errors import UsageError, WorkFailed
from whetstone.evals.measure import Measurement, measure_greedy, measure_sampled
from whetstone.runs.progress import Progress
from whetstone.tasks.keys import DEFAULT_SEED, SHARED_SEED, Key, Stream, commitment
from whetstone.tasks.registry import load_task

DEFAULT_STYLE = "only"


def evaluate(
    model: str | Source,
    task: str,
    *,
    level: int | None = None,
    n: int = 500,
    samples: int = 1,
    style: str = DEFAULT_STYLE,
    seed: int = DEFAULT_SEED,
    temperature: float | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Ask `n` different problems of the evaluation split: `samples` answers each, at `temperature`.

    Without a temperature a single answer is greedy and several are drawn at 1. `model`: a name, or a `Source` for an
    endpoint or vLLM, which brings its own device.

    Returns {model, task, level, style, temperature, accuracy {mean, low, high, n}, verdicts, tokens_per_answer,
    truncated, seed, seed_shared, seed_note, key}, with `pass_at_k` rows when several samples were drawn, and `backend`
    {kind, model, usage, failures, cost, …} for an endpoint; `seed_note` says in words that these are everybody's
    problems, and is None for a seed of one's own.

    Raises UsageError for an unknown model, task, level or style, and for several answers at temperature 0; WorkFailed
    when an endpoint never answers.
    """
    source = model if isinstance(model, Source) else Source(model, device=device)
    warmth = temperature if temperature is not None else 0.0 if samples == 1 else 1.0
    if samples > 1 and warmth == 0:
        raise UsageError("several greedy answers are all the same: ask for one, or give a temperature above 0")
    judged = load_task(task)
    styles = judged.styles()
    if style not in styles:
        raise UsageError(f"unknown style {style!r}; choose one of {', '.join(styles)}")
    chosen = judged.default_level if level is None else level
    key = Key.derive(str(seed).encode(), "whetstone eval")
    problems = Stream(judged, key, "eval", chosen).take(n, distinct=True)
    backend = source.open()
    questioner = Questioner(backend.sampler, backend.tokenizer, judged, styles[style], positions=backend.positions)
    room = styles[style].room(judged)
    result: dict[str, Any] = {"model": source.model, "task": judged.name, "level": chosen, "style": style}
    result["temperature"] = warmth
    with (progress or Progress()).stage("answers", n * samples) as stage:

        def show(done: int, _wanted: int) -> None:
            stage.advance(done - stage.done)

        if warmth == 0:
            measured = measure_greedy(questioner, problems, room, show)
        else:
            measured = measure_sampled(questioner, problems, samples, room, key, show, warmth)
    result |= _accuracy(measured, samples, greedy=warmth == 0)
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
        "seed": seed,
        "seed_shared": seed == DEFAULT_SEED,
        "seed_note": SHARED_SEED if seed == DEFAULT_SEED else None,
        "key": commitment(key),
    }


def _accuracy(measured: Measurement, samples: int, greedy: bool) -> dict[str, Any]:
    """`accuracy`, and `pass_at_k` where there are several answers to a problem."""
    if greedy:
        return {"accuracy": measured.accuracy().to_dict()}
    rows = measured.pass_at([k for k in (1, 2, 4, 8, 16, 32, 64, 128, 256) if k <= samples])
    accuracy = {name: value for name, value in rows[0].items() if name != "k"}
    return {"accuracy": accuracy} | ({"pass_at_k": rows} if samples > 1 else {})


def unanswered(facts: Mapping[str, Any]) -> int:
    """How many answers an endpoint failed to give, by the facts of its backend. A refusal is an answer."""
    return int(facts["failures"].get("error", 0) + facts["failures"].get("timeout", 0))
