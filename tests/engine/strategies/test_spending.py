"""What an account says went through the model, beside what the engine says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.strategies.asking import sums, tiny_backend, tiny_loaded
from whetstone.engine.backends import Backend
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Completion, Request
from whetstone.engine.samples import Pool, Sample
from whetstone.engine.step import BLOCK
from whetstone.engine.strategies.names import strategy_of
from whetstone.engine.strategies.run import Account, run
from whetstone.engine.strategies.spending import Prefixes, flops, prompt_flops

ROOMY = {"room": 40}


def spent_and_computed(spec: str, seed: int) -> tuple[Any, Engine]:
    backend = tiny_backend(seed)
    [question] = sums(1)
    [outcome] = run(strategy_of(spec), [replace(question, **ROOMY)], backend, Pool(backend.sampler, "tiny"))
    assert isinstance(backend.sampler, Engine)
    return outcome.spent, backend.sampler


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "spec", ["power-4:alpha=2,block=9", "power-2:alpha=1,block=40", "beam-1:width=1,step=7", "greedy"]
)
def test_of_answers_one_by_one_the_account_is_the_engines_to_the_token(spec: str, seed: int) -> None:
    spent, engine = spent_and_computed(spec, seed)
    # the last token of a completion is never read
    assert spent.prompt_tokens + spent.written_tokens - spent.completions == engine.stats.computed_tokens
    assert spent.cached_tokens == engine.stats.cached_tokens
    if spec.startswith("power"):
        assert spent.cached_tokens > 2 * BLOCK, "else this shows nothing"


@pytest.mark.parametrize("spec", ["consistency-8", "beam-3:width=4,step=7", "tree-3:width=4,step=7"])
def test_samples_of_one_prompt_cost_the_engine_no_more_than_the_account_says(spec: str) -> None:
    """Samples that begin alike are computed once as long as they do; the account counts each."""
    spent, engine = spent_and_computed(spec, 0)
    says = spent.prompt_tokens + spent.written_tokens - spent.completions
    assert 0.5 * says < engine.stats.computed_tokens <= says
    again = spent.prompt_tokens + spent.cached_tokens
    assert again > 4 * spent.prompt_tokens, "a prompt is asked again and again, and computed once"


def test_questions_of_a_search_are_begun_when_the_cache_has_room_for_them() -> None:
    loaded = tiny_loaded()
    computed = {}
    for together in (8, 1 << 20):
        engine = Engine(loaded.model, cache_bytes=2 << 20)
        backend = Backend(engine, loaded.tokenizer, engine.capacity)
        questions = [replace(each, **ROOMY) for each in sums(40, level=2)]
        outcomes = run(
            strategy_of("beam-2:width=2,step=4"), questions, backend, Pool(engine, "tiny"), together=together
        )
        computed[together] = engine.stats.computed_tokens, [each.choice for each in outcomes]
    assert computed[8][1] == computed[1 << 20][1]
    assert computed[8][0] < 0.7 * computed[1 << 20][0], "all at once, each round finds its cache overwritten"


def test_going_on_computes_what_is_new_and_what_fills_no_block() -> None:
    account = Account(tiny_loaded().model.config)
    prompt = tuple(range(20))

    def ask(ids: tuple[int, ...], *answers: tuple[int, ...]) -> tuple[int, int]:
        before = account.spent
        samples = [Sample(Completion(each, (), "length", 0), 0.0) for each in answers]
        account.drawn(Request(ids, tuple(range(len(answers)))), samples)
        return (
            account.spent.prompt_tokens - before.prompt_tokens,
            account.spent.cached_tokens - before.cached_tokens,
        )

    answer = tuple(range(50, 80))
    assert ask(prompt, answer, answer[:5]) == (20, 20)
    assert ask(prompt + answer, (1,)) == (50 - 48, 48)
    # 20 + 12 tokens are two blocks: all of them computed, but the last one's logits are wanted
    assert ask(prompt + answer[:12], (1,)) == (16, 16)
    assert ask(prompt + answer[:13], (1,)) == (1, 32)
    assert ask((*prompt[:5], 99), (1,)) == (6, 0)


def test_the_last_token_of_an_answer_was_never_computed() -> None:
    account = Account(tiny_loaded().model.config)
    prompt, answer = tuple(range(BLOCK)), tuple(range(30, 30 + BLOCK))
    account.drawn(Request(prompt, (0,)), [Sample(Completion(answer, (), "length", 0), 0.0)])
    account.drawn(Request((*prompt, *answer, 7), (0,)), [Sample(Completion((1,), (), "length", 0), 0.0)])
    assert account.spent.cached_tokens == BLOCK and account.spent.prompt_tokens == BLOCK + BLOCK + 1
    # the second time: a block from the cache, then the answer once more and one token behind it
    config = tiny_loaded().model.config
    first = prompt_flops(config, BLOCK, 0) + flops(config, BLOCK - 1, BLOCK)
    assert account.spent.flops == first + prompt_flops(config, BLOCK + 1, BLOCK)


@given(st.lists(st.lists(st.integers(0, 2), max_size=6)), st.lists(st.integers(0, 2), max_size=6))
def test_known_is_the_longest_common_beginning(seen: list[list[int]], ids: list[int]) -> None:
    prefixes = Prefixes()
    for each in seen:
        prefixes.add(each)
    common = [k for each in seen for k in range(min(len(ids), len(each)) + 1) if each[:k] == ids[:k]]
    longest = max(common, default=0)
    assert prefixes.known(ids) == longest


def test_a_prompt_needs_one_row_of_the_vocabulary() -> None:
    config = tiny_loaded().model.config
    row = 2.0 * config.vocab_size * config.width
    assert prompt_flops(config, 9, 4) == flops(config, 9, 4) - 8 * row
    assert prompt_flops(config, 0, 4) == 0 and prompt_flops(config, 1, 4) == flops(config, 1, 4)
