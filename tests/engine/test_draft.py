"""A draft model changes the number of steps and nothing else, and what is counted of it is what happened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, count

import numpy as np
import pytest
import torch

from tests.engine.test_scheduling import (
    MODEL,
    STOP,
    Alternating,
    Heard,
    engine_of,
    same_logprobs,
)
from tests.tiny import tiny_config, tiny_model, tiny_tokenizer
from whetstone.engine.draft import Draft, require_same_tokens
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Completion, Request, SamplingParams
from whetstone.engine.sampling import Row, choose, uniforms
from whetstone.engine.speculate import Lookup
from whetstone.engine.step import BLOCK
from whetstone.engine.structured import compile_regex
from whetstone.errors import UsageError
from whetstone.models.decoder import Decoder
from whetstone.models.packing import TokenTrie
from whetstone.models.tokenizer import Tokenizer

CACHE = 400 * BLOCK * MODEL.config.kv_bytes_per_token


def near(model: Decoder, share: float, seed: int = 5) -> Decoder:
    """A model that often says the same: the weights, and a share of noise."""
    other, noise = Decoder(model.config), Decoder(model.config).randomise(seed)
    with torch.no_grad():
        for mine, theirs, random in zip(other.parameters(), model.parameters(), noise.parameters(), strict=True):
            mine.copy_(theirs + share * random)
    return other


NEAR = near(MODEL, 0.15)
STRANGER = tiny_model(seed=99)
NARROW = Decoder(replace(tiny_config(), width=16, layers=1, heads=2, kv_heads=1, head_dim=8)).randomise(1)


def drafted(draft: Decoder, guesses: int | None = 4, blocks: int = 400, **options: object) -> Draft:
    size = blocks * BLOCK * draft.config.kv_bytes_per_token
    return Draft(draft, cache_bytes=size, guesses=guesses, **options)  # type: ignore[arg-type]


def assert_equal(found: Sequence[Sequence[Completion]], expected: Sequence[Sequence[Completion]]) -> None:
    for one, other in zip(chain(*found), chain(*expected), strict=True):
        assert (one.ids, one.finish, len(one.top)) == (other.ids, other.finish, len(other.top))
        assert same_logprobs(one, other)


ASKED = [
    Request((7, 8, 9, 7, 8), (1, 2)),
    Request((30, 31), (3,)),
    Request(tuple(range(20, 60)), (4, 5, 6)),
    Request((*range(20, 55), 3), (7,)),
]
PARAMS = {
    "greedy": SamplingParams(40, 0.0),
    "cool": SamplingParams(40, 0.5, STOP),
    "sampled": SamplingParams(40, 1.0, frozenset({5})),
    "nucleus": SamplingParams(40, 0.9, top_k=20, top_p=0.9, min_p=0.01),
    "penalties": SamplingParams(
        40, 0.7, repetition_penalty=1.2, presence_penalty=0.3, frequency_penalty=0.2, logit_bias={40: 1.5}
    ),
    "top": SamplingParams(12, 0.5, top_logprobs=3),
    "constraint": SamplingParams(24, 0.8, constraint=Alternating()),
    "greedy constraint": SamplingParams(24, 0.0, constraint=Alternating()),
}


@pytest.mark.parametrize("params", PARAMS.values(), ids=PARAMS.keys())
@pytest.mark.parametrize("draft", [MODEL, NEAR, STRANGER, NARROW], ids=["itself", "near", "stranger", "narrow"])
@pytest.mark.parametrize(
    "max_rows", [pytest.param(1, marks=pytest.mark.slow), 3, pytest.param(128, marks=pytest.mark.slow)]
)
def test_answers_are_the_same_with_a_draft_model(params: SamplingParams, draft: Decoder, max_rows: int) -> None:
    plain, engine = Engine(MODEL), engine_of(400, max_rows=max_rows, proposers=[drafted(draft)])
    expected = plain.sample(ASKED, params)
    assert_equal(engine.sample(ASKED, params), expected)
    tally = engine.stats.guesses["draft"]
    assert engine.stats.generated_tokens == plain.stats.generated_tokens and tally.proposed > 0
    if draft is MODEL and max_rows == 1:
        # alone, of two equal models every guess that an answer goes on behind is right; what is lost stands behind a
        # token that ends it
        assert tally.rate > 0.95 and engine.stats.steps < plain.stats.generated_tokens / 2
    assert tally.accepted > 0 or draft in (STRANGER, NARROW)


def test_a_draft_model_that_is_always_wrong_only_costs() -> None:
    """Its likeliest token is the one that the model likes least."""
    wrong = Decoder(replace(MODEL.config, tied=False))
    with torch.no_grad():
        for (name, parameter), source in zip(wrong.named_parameters(), [*MODEL.parameters(), None], strict=False):
            parameter.copy_(-MODEL.head_weight_VD if source is None or name.startswith("head") else source)
    engine = engine_of(400, proposers=[drafted(wrong)])
    assert_equal(engine.sample(ASKED, PARAMS["greedy"]), Engine(MODEL).sample(ASKED, PARAMS["greedy"]))
    assert engine.stats.guesses["draft"].accepted == 0 < engine.stats.guesses["draft"].proposed


@torch.no_grad()
def next_token(model: Decoder, prompt: tuple[int, ...], said: Sequence[int], seed: int, params: SamplingParams) -> int:
    """What a model draws behind `said`: a forward pass without any cache, and the sampler."""
    trie = TokenTrie([[*prompt, *said]])
    logits_V = model.logits(model(trie.ids_N, trie.positions_N, trie))[-1:]
    row = Row(replace(params, top_logprobs=0), prompt, said)
    uniform = uniforms(np.array([seed], dtype=np.uint64), np.array([len(said)]))
    return int(choose(logits_V, [row], [0], uniform).ids_I)


@pytest.mark.parametrize("name", ["greedy", "cool", "sampled", "penalties"])
@pytest.mark.parametrize("guesses", [1, 3])
def test_what_is_counted_is_what_happened(name: str, guesses: int) -> None:
    """Step by step in plain Python: the draft model goes on alone, and its tokens count while they are the answer's."""
    params = PARAMS[name]
    for request in (Request((7, 8, 9, 7, 8), (1,)), Request(tuple(range(20, 60)), (4,))):
        engine = engine_of(400, proposers=[drafted(NEAR, guesses)])
        [[answer]] = engine.sample([request], params)
        proposed = accepted = 0
        steps, said = 1, 1  # the prompt's step says one token
        while said < len(answer.ids):
            guess: list[int] = []
            while len(guess) < min(guesses, params.max_new_tokens - said - 1):
                token = next_token(NEAR, request.prompt_ids, [*answer.ids[:said], *guess], request.seeds[0], params)
                if token in params.stop_ids:
                    break
                guess.append(token)
            proposed += len(guess)
            steps += 1
            for token in [*guess, None]:
                said += 1
                if said == len(answer.ids) or token != answer.ids[said - 1]:
                    break
                accepted += 1
        tally = engine.stats.guesses["draft"]
        assert (tally.proposed, tally.accepted, engine.stats.steps) == (proposed, accepted, steps)
        assert len(answer.ids) == engine.stats.steps + tally.accepted


def test_shadows_follow_a_target_that_is_pushed_out() -> None:
    engine = engine_of(7, proposers=[drafted(NEAR)])
    asked = [Request(tuple(range(start, start + 20)), (start,)) for start in (10, 20, 30, 40)]
    params = SamplingParams(40, 0.5)
    assert_equal(engine.sample(asked, params), Engine(MODEL).sample(asked, params))
    assert engine.stats.preemptions > 0 and engine.stats.guesses["draft"].accepted > 0


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_a_group_that_parts_behind_right_guesses_keeps_each_its_own_numbers(temperature: float) -> None:
    """Two tokens are left to choose from, so sixteen sequences part little by little, those that stay anywhere among
    them."""
    engine = engine_of(400, proposers=[drafted(MODEL)])
    params = SamplingParams(12, temperature, logit_bias={30: 1e9, 31: 1e9})
    asked = [Request((7, 8, 9), tuple(range(first, first + 16))) for first in (0, 100, 200)]
    assert_equal(engine.sample(asked, params), Engine(MODEL).sample(asked, params))
    assert engine.stats.guesses["draft"].accepted > 20


def test_a_prefix_that_the_draft_model_knows_is_not_computed_again() -> None:
    draft = drafted(NEAR)
    engine = engine_of(400, proposers=[draft])
    for seed in (1, 2):
        engine.sample([Request(tuple(range(20, 60)), (seed,))], SamplingParams(10))
    assert draft.stepper.scheduler.found_blocks == 2


def test_a_draft_cache_that_is_too_small_guesses_for_those_who_fit() -> None:
    draft = drafted(MODEL, blocks=3)
    engine = engine_of(400, proposers=[draft])
    asked = [Request(tuple(range(20, 80)), (1,)), Request((5, 6), (2,))]
    params = SamplingParams(30, 0.5)
    assert_equal(engine.sample(asked, params), Engine(MODEL).sample(asked, params))
    tally = engine.stats.guesses["draft"]
    assert 20 < tally.accepted < 30 and draft.stepper.pool.used == 0


def test_tokens_that_one_of_the_models_does_not_have() -> None:
    params = SamplingParams(20, 1.0, logit_bias={80: 1.0})
    few = Decoder(replace(MODEL.config, vocab_size=60)).randomise(3)
    many = Decoder(replace(MODEL.config, vocab_size=160)).randomise(3)
    for draft in (few, many):
        engine = engine_of(400, proposers=[drafted(draft)])
        assert_equal(
            engine.sample([*ASKED, Request((80, 1), (1,))], params),
            Engine(MODEL).sample([*ASKED, Request((80, 1), (1,))], params),
        )
        constrained = replace(params, constraint=Alternating())
        assert_equal(engine.sample(ASKED, constrained), Engine(MODEL).sample(ASKED, constrained))


def test_weights_of_either_model_may_change_under_way() -> None:
    """The draft model becomes the model, and guesses right from then on; then the model becomes another."""
    model, draft = tiny_model(seed=12), tiny_model(seed=13)
    engine = engine_of(100, model, proposers=[drafted(draft)])
    request, params = Request(tuple(range(20, 50)), (0,)), SamplingParams(90, 0.0)
    [[expected]] = Engine(tiny_model(seed=12)).sample([request], params)
    heard = Heard()
    engine.add(request, params, heard)
    tally = engine.stats.guesses["draft"]
    for _ in range(10):
        engine.step()
    assert tally.accepted < 10
    assign(draft, tiny_model(seed=12))
    while len(heard.tokens[0]) < 40:
        engine.step()
    assert tally.accepted >= 20
    said = list(heard.tokens[0])
    assert tuple(said) == expected.ids[: len(said)]
    assign(model, tiny_model(seed=13))
    while engine.step():
        pass
    rest = SamplingParams(90 - len(said), 0.0)
    [[other]] = Engine(tiny_model(seed=13)).sample([Request((*request.prompt_ids, *said), (0,))], rest)
    assert heard.done[0].ids == (*said, *other.ids)


def assign(model: Decoder, other: Decoder) -> None:
    with torch.no_grad():
        for parameter, fresh in zip(model.parameters(), other.parameters(), strict=True):
            parameter.copy_(fresh)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_interrupted_draft_leaves_nothing_half_computed(interruption: type[BaseException], at: int) -> None:
    draft = drafted(MODEL)
    engine = engine_of(100, proposers=[draft])
    run, calls = draft.stepper.runner.run, count(1)

    def interrupted(step: object) -> object:
        if next(calls) == at:
            raise interruption
        return run(step)  # type: ignore[arg-type]

    draft.stepper.runner.run = interrupted  # type: ignore[method-assign,assignment]
    heard = Heard()
    request, params = Request(tuple(range(20, 60)), (1,)), SamplingParams(40, 0.5)
    engine.add(request, params, heard)
    with pytest.raises(interruption):
        while engine.step():
            pass
    while engine.step():
        pass
    [[alone]] = Engine(MODEL).sample([request], params)
    assert heard.done[0].ids == alone.ids and same_logprobs(heard.done[0], alone)
    assert engine.stats.guesses["draft"].rate > 0.95
    assert draft.stepper.pool.used == 0 and engine.pool.used == 0


class Failing(Alternating):
    """Breaks in a place that guesses reach first."""

    def fork(self) -> Failing:
        return Failing(self.said, self.breaks_at, self.fails)


@pytest.mark.parametrize("fails", ["nothing allowed", "mask", "accept"])
def test_a_constraint_that_fails_among_guesses_ends_its_branch_where_it_would_have(fails: str) -> None:
    params = SamplingParams(12, 0.0, constraint=Failing(0, 5, fails))
    request = Request((1, 2, 3), (1,))
    [[expected]] = Engine(MODEL).sample([request], params)
    engine = engine_of(100, proposers=[drafted(MODEL)])
    [[found]] = engine.sample([request], params)
    assert (found.ids, found.finish) == (expected.ids, expected.finish) and found.finish == "error"
    assert engine.stats.guesses["draft"].accepted > 0 and engine.pool.used == 0


def test_a_grammar_holds_behind_guesses_forks_and_preemption() -> None:
    """A listener that stops and a grammar at once; the tiny cache pushes branches out."""
    tokenizer, pattern = tiny_tokenizer(), r"[a-c]{2,4}=(x|yy|yz)(,[0-9]{1,3}){8,12}"
    constraint = compile_regex(tokenizer, pattern, width=MODEL.config.vocab_size)
    params = SamplingParams(60, 1.0, tokenizer.stop_ids, constraint=constraint)
    found: list[list[Heard]] = []
    for engine in (Engine(MODEL), engine_of(6, proposers=[drafted(NEAR), Lookup()])):
        heard = [Heard(enough=enough) for enough in (10**9, 9)]
        for place, listener in enumerate(heard):
            engine.add(Request((*range(20, 37), place), tuple(range(6))), params, listener)
        while engine.step():
            pass
        found.append(heard)
    for plain, guessed in zip(*found, strict=True):
        assert_equal([list(map(guessed.done.get, range(6)))], [list(map(plain.done.get, range(6)))])  # type: ignore[arg-type]
    whole = [each for each in found[1][0].done.values() if each.finish == "stop"]
    assert len(whole) > 2 and all(re.fullmatch(pattern, tokenizer.decode(each.ids[:-1])) for each in whole)
    assert engine.stats.preemptions > 0 and engine.stats.guesses["draft"].accepted > 20


def test_guesses_that_a_constraint_forbids_are_not_followed() -> None:
    """The lookup knows nothing of constraints."""
    engine = engine_of(100, proposers=[Lookup()])
    request = Request((2, 4, 6, 2, 4, 6, 2, 4), (1,))
    params = SamplingParams(30, 0.0, constraint=Alternating())
    assert_equal(engine.sample([request], params), Engine(MODEL).sample([request], params))
    assert engine.stats.guesses["lookup"].proposed > 0


def test_without_a_fixed_number_the_pace_decides_and_changes_nothing() -> None:
    engine = engine_of(400, proposers=[drafted(NEAR, None), Lookup()])
    for params in (PARAMS["greedy"], PARAMS["sampled"]):
        assert_equal(engine.sample(ASKED, params), Engine(MODEL).sample(ASKED, params))
    assert engine.stats.guesses["draft"].proposed > 0 and engine.record.steps.measured


def test_vocabularies_must_be_equal() -> None:
    tokenizer = tiny_tokenizer()
    require_same_tokens(tokenizer, tiny_tokenizer(), "a", "b")
    other = tiny_tokenizer()
    other.core.add_tokens(["zz"])
    with pytest.raises(UsageError, match="b cannot draft for a: 1 of their tokens are not the same"):
        require_same_tokens(tokenizer, Tokenizer(other.core, {}), "a", "b")
    with pytest.raises(ValueError, match="guesses is at least 1"):
        drafted(MODEL, 0)
