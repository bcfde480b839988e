"""All detectors' scores of a set of items under one model, as plain data that a stage can keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.rollout import Questioner
from whetstone.evals.contamination.detectors import (
    canary,
    completion,
    exchangeability,
    loss,
    min_k,
    min_k_plus,
    zlib_ratio,
)
from whetstone.evals.contamination.items import Item, ItemSet, document_ids, separator_ids
from whetstone.evals.contamination.moments import token_moments
from whetstone.evals.likelihood import token_logprobs
from whetstone.evals.measure import measure_greedy
from whetstone.models.loading import Loaded
from whetstone.tasks.task import Task

# In the order of a report. "order" holds the log-probabilities of all orders of each shard; the others one score an
# item.
DETECTORS = ("loss", "zlib", "min_k", "min_k_plus", "completion", "order", "twin_gap", "canary")
Scores = dict[str, list[Any]]
Tick = Callable[[], None]
STEPS = 4  # calls of `tick` in one `measured`


def measured(
    loaded: Loaded, task: Task, subjects: ItemSet, style: str, tick: Tick = lambda: None, ordered: bool = True
) -> Scores:
    """Scores by detector for `subjects`. `tick` is called `STEPS` times, as the parts are done. "twin_gap" holds 1 or
    0, whether the greedy answer is right: reference models are taken off later. `ordered`: whether to score the orders
    of the items, which costs more than all the rest."""
    scores = likelihood_scores(loaded, subjects.items)
    tick()
    scores["order"] = order_logprobs(loaded, subjects) if ordered else []
    scores |= canary_exposures(loaded, subjects.canaries)
    tick()
    engine = Engine(loaded.model)
    scores |= completions(loaded, engine, subjects.items)
    tick()
    scores["twin_gap"] = greedy_right(loaded, engine, task, style, subjects.items)
    tick()
    return scores


def greedy_right(loaded: Loaded, engine: Engine, task: Task, style: str, items: Sequence[Item]) -> list[int]:
    """1 or 0 for each item: whether the greedy answer is right. Raises PromptTooLong where the model has no room for a
    question and its answer: what it says beyond its positions tells nothing about what it has seen."""
    how = task.styles()[style]
    asked = Questioner(engine, loaded.tokenizer, task, how, positions=engine.capacity)
    return measure_greedy(asked, [item.problem for item in items], how.room(task)).first_right


def likelihood_scores(loaded: Loaded, items: Sequence[Item]) -> Scores:
    """Loss, zlib, Min-K% and Min-K%++ of each item's text, given the separator before it."""
    before = len(separator_ids(loaded.tokenizer))
    sequences = [document_ids(loaded.tokenizer, [item.text]) for item in items]
    tokens = [each.after(before - 1) for each in token_moments(loaded, sequences)]
    return {
        "loss": [loss.score(each) for each in tokens],
        "zlib": [zlib_ratio.score(each, item.text) for each, item in zip(tokens, items, strict=True)],
        "min_k": [min_k.score(each) for each in tokens],
        "min_k_plus": [min_k_plus.score(each) for each in tokens],
    }


def order_logprobs(loaded: Loaded, subjects: ItemSet) -> list[list[float]]:
    """For each shard the log-probability of every order of its items, the published one first, in nats."""
    shards = subjects.shards()
    ways = exchangeability.orders()
    sequences = [
        document_ids(loaded.tokenizer, [shard[place].text for place in way]) for shard in shards for way in ways
    ]
    sums = [float(each.sum(dtype="float64")) for each in token_logprobs(loaded, sequences)]
    return [sums[first : first + len(ways)] for first in range(0, len(sums), len(ways))]


def canary_exposures(loaded: Loaded, planted: Sequence[canary.Canary]) -> Scores:
    """The exposure of each canary in bits: as modelled ("canary") and by rank ("bits")."""
    starts = [document_ids(loaded.tokenizer, [each.start.rstrip()]) for each in planted]
    ends = [
        [*start, *loaded.tokenizer.encode(f" {end}")]
        for start, each in zip(starts, planted, strict=True)
        for end in (each.end, *each.others)
    ]
    sums = iter(token_logprobs(loaded, ends))
    found: Scores = {"canary": [], "bits": []}
    for start, each in zip(starts, planted, strict=True):
        own = [float(next(sums)[len(start) - 1 :].sum(dtype="float64")) for _ in (each.end, *each.others)]
        found["canary"].append(canary.score(own[0], own[1:]))
        found["bits"].append(canary.exposure(own[0], own[1:]))
    return found


def completions(loaded: Loaded, engine: Engine, items: Sequence[Item]) -> Scores:
    """How near the greedy rest after the first 60 % of each item comes to its own, and 1 where it is the very rest
    ("exact")."""
    before = len(separator_ids(loaded.tokenizer))
    nearness: list[float] = []
    for first in range(0, len(items), 128):
        ids = [document_ids(loaded.tokenizer, [item.text]) for item in items[first : first + 128]]
        cuts = [before + completion.cut(each[before:]) for each in ids]
        requests = [Request(tuple(each[:at]), (0,)) for each, at in zip(ids, cuts, strict=True)]
        longest = max(len(each) - at for each, at in zip(ids, cuts, strict=True))
        written = engine.sample(requests, SamplingParams(longest, 0.0, loaded.tokenizer.stop_ids))
        for each, at, (answer,) in zip(ids, cuts, written, strict=True):
            nearness.append(completion.score(answer.ids[: len(each) - at], each[at:]))
    return {"completion": nearness, "exact": [int(each == 1.0) for each in nearness]}
