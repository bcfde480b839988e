"""Whatever comes, goes, waits or is pushed out: every answer is the one that its request gets alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pytest
import torch

from tests.tiny import tiny_model
from whetstone.engine.engine import Engine
from whetstone.engine.native import reason
from whetstone.engine.protocol import Completion, Request, SamplingParams, TopLogprobs
from whetstone.engine.speculate import Lookup
from whetstone.engine.step import BLOCK
from whetstone.models.decoder import Decoder

MODEL = tiny_model(seed=11)
STOP = frozenset(range(1, 9))


@dataclass
class Heard:
    """Listens, and says "stop" after `enough` tokens of a member."""

    enough: int = 10**9
    tokens: dict[int, list[int]] = field(default_factory=dict)
    done: dict[int, Completion] = field(default_factory=dict)

    def token(self, member: int, token: int, logprob: float, top: TopLogprobs | None) -> bool:
        assert member not in self.done
        self.tokens.setdefault(member, []).append(token)
        return len(self.tokens[member]) >= self.enough

    def finished(self, member: int, completion: Completion) -> None:
        assert member not in self.done
        self.done[member] = completion


def same_logprobs(one: Completion, other: Completion) -> bool:
    """To the bit on the CPU kernel, to float noise in torch, whose products depend on their shape."""
    if reason() is None:
        return one.logprobs == other.logprobs
    return one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def engine_of(blocks: int, model: Decoder = MODEL, **options: object) -> Engine:
    return Engine(model, cache_bytes=blocks * BLOCK * model.config.kv_bytes_per_token, **options)  # type: ignore[arg-type]


def test_the_first_to_come_is_the_first_to_finish_its_prompt() -> None:
    """A long prompt is not overtaken by later short ones for ever, nor do those who decode wait for it."""
    engine = engine_of(200, chunk=16, max_rows=8)
    early, long, late = Heard(), Heard(), Heard()
    engine.add(Request((1, 2, 3), (0,)), SamplingParams(100), early)
    engine.step()
    engine.add(Request(tuple(20 + i % 60 for i in range(160)), (0,)), SamplingParams(4), long)
    engine.add(Request((5, 6), (0,)), SamplingParams(4), late)
    before = len(early.tokens[0])
    for _ in range(10):
        engine.step()
    assert len(early.tokens[0]) == before + 10
    assert len(long.tokens[0]) == 1 and not late.tokens
    while engine.step():
        pass
    assert late.done and long.done and early.done


def test_a_listener_ends_its_own_sequence_only() -> None:
    heard = Heard(enough=3)
    engine = engine_of(50)
    engine.add(Request((1, 2, 3), (5, 6)), SamplingParams(10), heard)
    other = Heard()
    engine.add(Request((1, 2, 3), (5,)), SamplingParams(10), other)
    while engine.step():
        pass
    assert {len(each.ids) for each in heard.done.values()} == {3}
    assert {each.finish for each in heard.done.values()} == {"stop"}
    assert len(other.done[0].ids) == 10 and other.done[0].ids[:3] == heard.done[0].ids


def test_guessing_changes_nothing_and_saves_steps() -> None:
    """A greedy random model soon goes round in circles, which is what a lookup guesses best."""
    plain, guessing = engine_of(400), engine_of(400, proposers=[Lookup()])
    asked = [Request((7, 8, 9, 7, 8), (1, 2)), Request((30, 31), (3,))]
    for params in (SamplingParams(60, 0.0), SamplingParams(60, 0.4, STOP)):
        expected, found = plain.sample(asked, params), guessing.sample(asked, params)
        for one, other in zip(chain(*expected), chain(*found), strict=True):
            assert (one.ids, one.finish) == (other.ids, other.finish)
            assert same_logprobs(one, other)
    assert guessing.stats.guesses["lookup"].accepted > 20
    assert guessing.stats.steps < plain.stats.steps - 10
    assert plain.stats.generated_tokens == guessing.stats.generated_tokens


def test_weights_that_change_under_way_are_used_from_then_on() -> None:
    model = tiny_model(seed=12)
    engine = engine_of(100, model)
    heard = Heard()
    engine.add(Request(tuple(range(20, 50)), (0,)), SamplingParams(12, 0.0), heard)
    for _ in range(5):
        engine.step()
    said = list(heard.tokens[0])
    with torch.no_grad():
        for parameter, fresh in zip(model.parameters(), tiny_model(seed=13).parameters(), strict=True):
            parameter.copy_(fresh)
    while engine.step():
        pass
    prompt = (*range(20, 50), *said)
    [[expected]] = Engine(tiny_model(seed=13)).sample([Request(prompt, (0,))], SamplingParams(12 - len(said), 0.0))
    assert heard.done[0].ids == (*said, *expected.ids)


class Alternating:
    """Even and odd tokens in turn; breaks where it is told to."""

    def __init__(self, said: int = 0, breaks_at: int | None = None, fails: str = "") -> None:
        self.said, self.breaks_at, self.fails = said, breaks_at, fails

    def mask(self) -> np.ndarray:
        if self.said == self.breaks_at and self.fails != "accept":
            if self.fails == "mask":
                raise RuntimeError("no mask")
            return np.zeros(84, dtype=bool)
        return np.arange(84) % 2 == self.said % 2

    def accept(self, token: int) -> None:
        assert token % 2 == self.said % 2
        if self.said == self.breaks_at:
            raise RuntimeError("not accepted")
        self.said += 1

    def fork(self) -> Alternating:
        return Alternating(self.said, self.breaks_at, self.fails)


@pytest.mark.parametrize("fails", ["nothing allowed", "mask", "accept"])
def test_constraints_fork_with_their_branch_and_end_it_when_they_fail(fails: str) -> None:
    engine = engine_of(100)
    good, bad = Heard(), Heard()
    params = SamplingParams(9, constraint=Alternating())
    engine.add(Request((1, 2, 3), tuple(range(12))), params, good)
    engine.add(Request((1, 2, 3), (1, 2)), SamplingParams(9, constraint=Alternating(0, 4, fails)), bad)
    while engine.step():
        pass
    assert len({each.ids for each in good.done.values()}) > 5
    for each in good.done.values():
        assert [token % 2 for token in each.ids] == [place % 2 for place in range(9)]
    assert {each.finish for each in bad.done.values()} == {"error"}
    assert engine.pool.used == 0


class Panicking(Alternating):
    """As compiled code may: not even an Exception."""

    def fork(self) -> Panicking:
        if self.said:
            raise BaseException("panic")
        return Panicking(self.said)


def test_a_constraint_that_panics_in_a_fork_ends_its_own_sequences_only() -> None:
    engine = engine_of(100)
    bad, good = Heard(), Heard()
    engine.add(Request((1, 2, 3), tuple(range(12))), SamplingParams(6, constraint=Panicking()), bad)
    engine.add(Request((1, 2, 3), (3,)), SamplingParams(6), good)
    while engine.step():
        pass
    assert sorted(bad.done) == list(range(12)) and "error" in {each.finish for each in bad.done.values()}
    assert good.done[0].finish == "length" and engine.pool.used == 0


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_step_leaves_nothing_half_computed_in_the_cache(interruption: type[BaseException]) -> None:
    request, params = Request(tuple(20 + i % 50 for i in range(40)), (0, 1)), SamplingParams(8)
    engine = engine_of(50)
    heard = Heard()
    engine.add(Request((3, 4, 5), (7,)), SamplingParams(8), heard)
    engine.step()
    run = engine.runner.run

    def interrupted(step: object) -> object:
        engine.runner.run = run  # type: ignore[method-assign]
        raise interruption

    engine.runner.run = interrupted  # type: ignore[method-assign,assignment]
    with pytest.raises(interruption):
        engine.sample([request], params)
    [found] = engine.sample([request], params)
    [expected] = Engine(MODEL).sample([request], params)
    assert [each.ids for each in found] == [each.ids for each in expected]
    while engine.step():  # and what else ran goes on to its own end
        pass
    [[alone]] = Engine(MODEL).sample([Request((3, 4, 5), (7,))], SamplingParams(8))
    assert heard.done[0].ids == alone.ids and engine.pool.used == 0


def test_blocks_that_somebody_else_holds_are_waited_for() -> None:
    engine = engine_of(4)
    held = [engine.pool.take() for _ in range(3)]
    heard = Heard()
    engine.add(Request(tuple(range(20, 50)), (0,)), SamplingParams(4), heard)
    assert not engine.step() and not engine.idle
    for block in held:
        assert block is not None
        engine.pool.release(block)
    while engine.step():
        pass
    assert heard.done[0].finish == "length"


def test_what_was_found_in_the_cache_is_counted_once() -> None:
    engine = engine_of(8, max_rows=2)
    prompt = tuple(range(20, 60))
    job = engine.add(Request(prompt, (0, 1, 2, 3)), SamplingParams(3), Heard())
    while engine.step():
        pass
    assert job.cached_tokens == 0, "the second half found what the first had computed, the request nothing"
    again = engine.add(Request(prompt, (0,)), SamplingParams(3), Heard())
    while engine.step():
        pass
    assert again.cached_tokens == 2 * BLOCK and engine.stats.cached_tokens == 2 * 2 * BLOCK


def test_what_no_step_could_compute_is_refused_before_anything_runs() -> None:
    engine = engine_of(10)
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="seeds go from"):
            engine.add(Request((1,), (seed,)), SamplingParams(1), Heard())
    for bias in (-1, 84):
        with pytest.raises(ValueError, match="0 to 83"):
            engine.add(Request((1,), (0,)), SamplingParams(1, logit_bias={bias: 1.0}), Heard())
    with pytest.raises(ValueError, match="at least 1"):
        Engine(MODEL, max_rows=0)
    for prompt in ((84,), (-1,)):
        with pytest.raises(ValueError, match="0 to 83"):
            engine.add(Request(prompt, (0,)), SamplingParams(1), Heard())
    assert engine.idle
