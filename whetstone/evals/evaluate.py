"""Measure one model on one task: the function behind `whet eval` and `whetstone.evaluate`."""

from __future__ import annotations

from typing import Any

from whetstone.engine.engine import Engine
from whetstone.engine.rollout import Questioner
from whetstone.errors import UsageError
from whetstone.evals.measure import measure_greedy, measure_sampled
from whetstone.models.loading import load
from whetstone.runs.progress import Progress
from whetstone.tasks.keys import DEFAULT_SEED, SHARED_SEED, Key, Stream, commitment
from whetstone.tasks.registry import load_task

DEFAULT_STYLE = "only"


def evaluate(
    model: str,
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

    Without a temperature a single answer is greedy and several are drawn at 1.

    Returns {model, task, level, style, temperature, accuracy {mean, low, high, n}, verdicts, tokens_per_answer,
    truncated, seed, seed_shared, seed_note, key}, with `pass_at_k` rows when several samples were drawn; `seed_note`
    says in words that these are everybody's problems, and is None for a seed of one's own. Raises UsageError for an
    unknown model, task, level or style, and for several answers at temperature 0.
    """
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
    loaded = load(model, device)
    positions = loaded.model.config.max_positions
    questioner = Questioner(Engine(loaded.model), loaded.tokenizer, judged, styles[style], positions=positions)
    room = styles[style].room(judged)
    result: dict[str, Any] = {"model": model, "task": judged.name, "level": chosen, "style": style}
    result["temperature"] = warmth
    with (progress or Progress()).stage("answers", n * samples) as stage:

        def show(done: int, _wanted: int) -> None:
            stage.advance(done - stage.done)

        if warmth == 0:
            measured = measure_greedy(questioner, problems, room, show)
            result["accuracy"] = measured.accuracy().to_dict()
        else:
            measured = measure_sampled(questioner, problems, samples, room, key, show, warmth)
            ks = [k for k in (1, 2, 4, 8, 16, 32, 64, 128, 256) if k <= samples]
            rows = measured.pass_at(ks)
            result["accuracy"] = {name: value for name, value in rows[0].items() if name != "k"}
            if samples > 1:
                result["pass_at_k"] = rows
    return result | {
        "verdicts": measured.mix(),
        "tokens_per_answer": measured.tokens_per_answer(),
        "truncated": measured.truncated_share(),
        "seed": seed,
        "seed_shared": seed == DEFAULT_SEED,
        "seed_note": SHARED_SEED if seed == DEFAULT_SEED else None,
        "key": commitment(key),
    }
