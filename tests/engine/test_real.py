"""The default model's greedy text is that of transformers, token for token, however the engine comes to it."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import AutoModelForCausalLM

from whetstone.engine.collect import Collector
from whetstone.engine.draft import Draft
from whetstone.engine.engine import Engine
from whetstone.engine.native import reason
from whetstone.engine.protocol import Completion, Request, SamplingParams
from whetstone.engine.runners import runner_for
from whetstone.engine.speculate import Lookup
from whetstone.engine.step import BLOCK
from whetstone.engine.torch_runner import TorchRunner
from whetstone.models.loading import Loaded, load

pytestmark = pytest.mark.real

SUBJECTS = ("the sea", "a clock", "bread", "the moon", "winter")
ASKED = (
    "What is {n} + {m}? Reply with the number only.",
    "Tell me one thing about {subject}.",
    "Write a list of {n} words that have to do with {subject}, then the same list again.",
    "Repeat: {subject}, {subject}, {subject}, {subject}",
    "Which is larger, {n} or {m}?",
)
NEW = 12


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load("smollm2-135m")


@pytest.fixture(scope="module")
def prompts(loaded: Loaded) -> list[tuple[int, ...]]:
    chance = random.Random(3)
    texts = [
        ASKED[i % len(ASKED)].format(n=chance.randrange(3, 99), m=chance.randrange(3, 99), subject=SUBJECTS[i // 5 % 5])
        for i in range(50)
    ]
    return [tuple(loaded.tokenizer.chat_ids([{"role": "user", "content": text}])) for text in texts]


@pytest.fixture(scope="module")
def theirs(loaded: Loaded, prompts: list[tuple[int, ...]]) -> list[list[int]]:
    model = AutoModelForCausalLM.from_pretrained(loaded.folder, dtype=torch.float32).eval()
    stops = sorted(loaded.tokenizer.stop_ids)
    written = []
    for prompt in prompts:
        out = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=NEW,
            do_sample=False,
            eos_token_id=stops,
            pad_token_id=stops[0],
        )
        written.append(out[0, len(prompt) :].tolist())
    return written


def greedy(engine: Engine, loaded: Loaded, prompts: list[tuple[int, ...]]) -> list[Completion]:
    params = SamplingParams(NEW, 0.0, loaded.tokenizer.stop_ids)
    return [group[0] for group in engine.sample([Request(prompt, (0,)) for prompt in prompts], params)]


def test_fifty_prompts_in_one_batch_and_again_from_the_cache(
    loaded: Loaded, prompts: list[tuple[int, ...]], theirs: list[list[int]]
) -> None:
    engine = Engine(loaded.model)
    first = greedy(engine, loaded, prompts)
    assert [list(each.ids) for each in first] == theirs
    before = engine.stats.cached_tokens
    again = greedy(engine, loaded, prompts)
    assert again == first, "not even a log-probability changes when a prompt is found in the cache"
    assert engine.stats.cached_tokens > before + 50 * BLOCK


def test_with_guesses(loaded: Loaded, prompts: list[tuple[int, ...]], theirs: list[list[int]]) -> None:
    engine = Engine(loaded.model, max_rows=4, proposers=[Lookup()])
    assert [list(each.ids) for each in greedy(engine, loaded, prompts)] == theirs
    assert engine.stats.guesses["lookup"].accepted > 20


@pytest.mark.skipif(reason() is not None, reason="int8 weights need the CPU kernel")
def test_with_a_draft_model(loaded: Loaded, prompts: list[tuple[int, ...]], theirs: list[list[int]]) -> None:
    """The model itself with int8 weights drafts for fp32."""
    draft = Draft(loaded.model, runner=runner_for(loaded.model, "int8"), guesses=4)
    engine = Engine(loaded.model, max_rows=8, proposers=[draft])
    assert [list(each.ids) for each in greedy(engine, loaded, prompts)] == theirs
    tally = engine.stats.guesses["draft"]
    assert tally.accepted > 0.8 * tally.tested > 200


def test_pushed_out_and_in_small_chunks(
    loaded: Loaded, prompts: list[tuple[int, ...]], theirs: list[list[int]]
) -> None:
    """Every few steps the youngest loses its place and all that was computed for it."""
    engine = Engine(loaded.model, chunk=40)
    asked = [Request(prompt, (0,)) for prompt in prompts[:15]]
    collector = Collector(asked, None)
    for place, request in enumerate(asked):
        engine.add(request, SamplingParams(NEW, 0.0, loaded.tokenizer.stop_ids), collector.of(place))
    while collector.missing:
        engine.step()
        if engine.stats.steps % 4 == 0 and engine.scheduler.running:
            engine.scheduler._preempt(engine.scheduler.running[-1])
    assert [list(each.ids) for [each] in collector.completions] == theirs[:15]
    assert engine.stats.preemptions >= 5 and engine.pool.used == 0


def test_one_at_a_time_in_torch(loaded: Loaded, prompts: list[tuple[int, ...]], theirs: list[list[int]]) -> None:
    engine = Engine(loaded.model, max_rows=1, runner=TorchRunner)
    assert [list(each.ids) for each in greedy(engine, loaded, prompts[::5])] == theirs[::5]
