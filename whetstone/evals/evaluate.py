"""Measure one model on one task: the function behind `whet eval` and `whetstone.evaluate`."""

from __future__ import annotations

from typing import Any

from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Progress
from whetstone.engine.rollout import Questioner
from whetstone.errors import UsageError
from whetstone.evals.measure import measure_greedy, measure_sampled
from whetstone.models.loading import load
from whetstone.tasks.keys import Key, Partition, Stream, commitment
from whetstone.tasks.registry import load_task


def evaluate(
    model: str,
    task: str,
    *,
    level: int | None = None,
    n: int = 500,
    samples: int = 1,
    style: str = "only",
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Ask `n` different problems of the evaluation split; greedy, or `samples` answers each at temperature 1.

    Returns {model, task, level, accuracy {mean, low, high, n}, verdicts, tokens_per_answer, truncated, key}, with
    `pass_at_k` rows when several samples were drawn. Raises UsageError for an unknown model, task, level or style.
    """
    judged = load_task(task)
    chosen = judged.default_level if level is None else level
    secret = Key.derive(str(seed).encode(), "whetstone eval")
    key = Key.derive(secret, "evaluation")
    problems = Stream(judged, key, "eval", chosen, Partition(Key.derive(secret, "partition"))).take(n, distinct=True)
    styles = judged.styles()
    if style not in styles:
        raise UsageError(f"unknown style {style!r}; choose one of {', '.join(styles)}")
    loaded = load(model, device)
    questioner = Questioner(Engine(loaded.model), loaded.tokenizer, judged, styles[style])
    result: dict[str, Any] = {"model": model, "task": judged.name, "level": chosen, "style": style}
    if samples == 1:
        measured = measure_greedy(questioner, problems, judged.max_new_tokens, progress)
        result["accuracy"] = measured.accuracy().to_dict()
    else:
        measured = measure_sampled(questioner, problems, samples, judged.max_new_tokens, key, progress)
        ks = [k for k in (1, 2, 4, 8, 16, 32, 64, 128, 256) if k <= samples]
        result["pass_at_k"] = measured.pass_at(ks)
        result["accuracy"] = {name: value for name, value in result["pass_at_k"][0].items() if name != "k"}
    return result | {
        "verdicts": measured.mix(),
        "tokens_per_answer": measured.tokens_per_answer(),
        "truncated": measured.truncated_share(),
        "key": commitment(key),
    }
