"""Whatever happens to an engine, in whatever order, each token is the one that its own past alone decides.

An engine with small caches, a draft model and a lookup: requests come and are cancelled, weights of either model
change, steps are interrupted, blocks are held by somebody else. The oracle has no cache, no batch and no schedule: for
each token one pass over the whole text so far with the weights of that moment, and the sampler.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeVar

import numpy as np
import pytest
import torch

from tests.engine.test_draft import assign, near
from tests.engine.test_scheduling import MODEL, STOP, Alternating
from tests.tiny import tiny_model
from whetstone.engine.branch import Job
from whetstone.engine.draft import Draft
from whetstone.engine.engine import Engine
from whetstone.engine.lookahead import OwnFailure
from whetstone.engine.native import reason
from whetstone.engine.protocol import Completion, Finish, Request, SamplingParams, TopLogprobs
from whetstone.engine.runners import runner_for
from whetstone.engine.sampling import Row, choose, uniforms
from whetstone.engine.speculate import Lookup, Proposer
from whetstone.engine.step import BLOCK, Runner, Step
from whetstone.engine.stepper import Stepper

WEIGHTS = [tiny_model(seed=seed) for seed in (11, 12)]
ORACLE_BLOCKS = 16
T = TypeVar("T")


class Oracle:
    """The next token of a text, by one pass over all of it."""

    def __init__(self) -> None:
        self._runners = [runner_for(model)(model, ORACLE_BLOCKS) for model in WEIGHTS]
        for runner in self._runners:
            runner.refresh()
        self._logits: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}

    @torch.inference_mode()
    def next(
        self, weights: int, request: Request, said: tuple[int, ...], seed: int, params: SamplingParams
    ) -> tuple[int, float, TopLogprobs | None]:
        """The token, its log-probability and the alternatives. `params` with the constraint as it is behind `said`."""
        text = (*request.prompt_ids, *said)
        if (weights, text) not in self._logits:
            self._logits[weights, text] = self._pass(self._runners[weights], text)
        runner, logits_1V = self._runners[weights], self._logits[weights, text].clone()
        allowed_V = None if params.constraint is None else params.constraint.mask()
        uniform_I = uniforms(np.array([seed], dtype=np.uint64), np.array([len(said)]))
        row = Row(params, request.prompt_ids, said, allowed_V)
        choice = choose(logits_1V, [row], [0], uniform_I, runner.block_sums)
        token = int(choice.ids_I)
        return token, float(choice.logprobs_I), choice.top_of(0, token)

    @staticmethod
    def _pass(runner: Runner, text: tuple[int, ...]) -> torch.Tensor:
        count = len(text)
        ids_N, table_RC = np.array(text, dtype=np.int64), np.arange(ORACLE_BLOCKS, dtype=np.int32)[None]
        owner_N = np.zeros(count, dtype=np.int64)
        return runner.run(Step(ids_N, np.arange(count, dtype=np.int64), owner_N, table_RC, np.array([count - 1])))


ORACLE = Oracle()


@dataclass
class Asked:
    """A request, and what was heard of it: each member's tokens, with the weights that made them."""

    request: Request
    params: SamplingParams
    enough: int
    machine: Machine
    job: Job | None = None
    given_up: Finish | None = None
    heard: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    done: dict[int, Completion] = field(default_factory=dict)

    def token(self, member: int, token: int, logprob: float, top: TopLogprobs | None) -> bool:
        assert member not in self.done
        self.heard.setdefault(member, []).append((token, self.machine.weights))
        return len(self.heard[member]) >= self.enough

    def finished(self, member: int, completion: Completion) -> None:
        assert member not in self.done
        assert completion.ids == tuple(token for token, _ in self.heard.get(member, ()))
        self.done[member] = completion

    def check(self) -> None:
        """Every member is what the oracle says, token for token, and ended as it had to."""
        assert sorted(self.done) == list(range(len(self.request.seeds)))
        for member, completion in self.done.items():
            constraint = None if self.params.constraint is None else self.params.constraint.fork()
            params, said = replace(self.params, constraint=constraint), list[int]()
            logprobs, tops = list[float](), list[TopLogprobs]()
            ended = self._broken(constraint, completion)
            for token, weights in self.heard.get(member, ()):
                assert ended is None
                expected, logprob, top = ORACLE.next(
                    weights, self.request, tuple(said), self.request.seeds[member], params
                )
                assert token == expected
                said.append(token)
                logprobs.append(logprob)
                tops += [top] if top is not None else []
                ended = self._end_of(said) or self._broken(constraint, completion, token)
            assert completion.finish == (ended or self.given_up)
            assert_same(completion, logprobs, tops)

    def _end_of(self, said: list[int]) -> Finish | None:
        if len(said) >= self.enough or said[-1] in self.params.stop_ids:
            return "stop"
        return "length" if len(said) == self.params.max_new_tokens else None

    @staticmethod
    def _broken(constraint: Alternating | None, completion: Completion, token: int | None = None) -> Finish | None:
        """Whether the constraint has come to its end; where an answer was given up, nobody may have asked it."""
        if constraint is None:
            return None
        alive = False
        with OwnFailure():
            if token is not None:
                constraint.accept(token)
            alive = completion.finish == "cancelled" or bool(constraint.mask().any())
        return None if alive else "error"


def assert_same(completion: Completion, logprobs: list[float], tops: list[TopLogprobs]) -> None:
    """To the bit on the CPU kernel, to float noise in torch, whose products depend on their shape."""
    if reason() is None:
        assert completion.logprobs == tuple(logprobs) and completion.top == tuple(tops)
        return
    assert completion.logprobs == pytest.approx(logprobs, abs=1e-4)
    for found, expected in zip(completion.top, tops, strict=True):
        assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-4)


def parameters(chance: Random, room: int) -> SamplingParams:
    """Any way of sampling, with at most `room` new tokens; most settings are off more often than not."""

    def rarely(off: T, *on: T) -> T:
        return chance.choice([off, off, chance.choice(on)])

    failing = Alternating(0, chance.randrange(7), chance.choice(["nothing allowed", "mask", "accept"]))
    return SamplingParams(
        max_new_tokens=chance.choice([room, chance.randint(1, room)]),
        temperature=chance.choice([0.0, 0.4, 0.7, 1.0, 3.0]),
        stop_ids=rarely(frozenset[int](), STOP),
        top_k=rarely(0, 1, 5),
        top_p=rarely(1.0, 0.8),
        min_p=rarely(0.0, 0.05),
        repetition_penalty=rarely(1.0, 1.3),
        presence_penalty=rarely(0.0, 0.7),
        frequency_penalty=rarely(0.0, 0.4),
        logit_bias=rarely({}, {40: 2.0}, {2: 1e9, 3: 1e9}, {7: -100.0, 83: 3.0}),
        top_logprobs=rarely(0, 2),
        constraint=rarely(None, Alternating(), failing),
    )


class Machine:
    """One engine, from its first request to its last."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.model, self.drafting = tiny_model(seed=11), near(MODEL, chance.choice([0.0, 0.1, 0.3]))
        self.weights = 0
        size = BLOCK * self.model.config.kv_bytes_per_token
        chunk, max_rows = chance.choice([1, 4, 17, 512]), chance.choice([1, 3, 6, 128])
        draft_bytes, guesses = chance.randint(2, 14) * size, chance.choice([None, 1, 2, 5])
        self.draft = Draft(self.drafting, max_rows, draft_bytes, chunk=chunk + 1, guesses=guesses)
        proposers: list[Proposer] = [self.draft, Lookup()]
        proposers = chance.choice([[], proposers, proposers, proposers[:1], proposers[:1], proposers[1:]])
        self.engine = Engine(self.model, max_rows, chance.randint(3, 10) * size, proposers=proposers, chunk=chunk)
        self.asked: list[Asked] = []
        self.held: list[int] = []

    def run(self, events: int) -> None:
        """So many things happen, then all that was asked for is finished and looked at."""
        likely = {self.step: 10, self.ask: 6, self.cancel: 1, self.change_weights: 1, self.change_draft: 1}
        likely |= {self.interrupt: 1, self.hold: 1, self.let_go: 1}
        for event in self.chance.choices(list(likely), list(likely.values()), k=events):
            event()
            self.require_accounts()
        self.let_go()
        while not self.engine.idle:
            assert self.engine.step()
            self.require_accounts()
        assert self.engine.pool.used == 0
        shadows = self.draft.stepper
        assert shadows.scheduler.idle and shadows.pool.used == 0 and not self.draft._shadows
        for asked in self.asked:
            asked.check()

    def step(self) -> None:
        for _ in range(self.chance.randint(1, 8)):
            self.engine.step()
            self.require_accounts()

    def ask(self) -> None:
        """A few openings that blocks can share, then something of its own; up to the last token of room."""
        chance = self.chance
        opening = chance.choice([0, 5, BLOCK - 1, BLOCK, 2 * BLOCK, 2 * BLOCK + 3, 200])
        own = [chance.randrange(84) for _ in range(chance.randint(1, 9))]
        prompt = (*(20 + place % 60 for place in range(opening)), *own)[: self.engine.capacity - 1]
        seeds = [chance.choice([0, 1, chance.randrange(2**64)]) for _ in range(chance.choice([1, 1, 2, 5, 16]))]
        params = parameters(chance, min(30, self.engine.capacity - len(prompt)))
        asked = Asked(Request(prompt, tuple(seeds)), params, chance.choice([10**9, 10**9, 1, 7]), self)
        asked.job = self.engine.add(asked.request, params, asked)
        self.asked.append(asked)

    def cancel(self) -> None:
        everything = self.chance.random() < 0.1
        given_up = self.asked if everything else self.chance.choices(self.asked) if self.asked else []
        for asked in given_up:
            asked.given_up = "cancelled"
            assert asked.job is not None
            if not everything:
                self.engine.cancel(asked.job)
        if everything:
            self.engine.cancel_all("cancelled")

    def change_weights(self) -> None:
        self.weights = self.chance.randrange(2)
        assign(self.model, WEIGHTS[self.weights])

    def change_draft(self) -> None:
        assign(self.drafting, self.chance.choice(WEIGHTS))

    def interrupt(self) -> None:
        """One of the next passes fails, of the model or of the draft model, before or behind its work."""
        runner = self.chance.choice([self.engine.runner, self.draft.stepper.runner])
        run, passes = runner.run, iter(range(self.chance.randint(0, 2)))
        late = self.chance.random() < 0.5

        def failing(step: Step) -> torch.Tensor:
            if next(passes, None) is not None:
                return run(step)
            if late:
                run(step)
            raise MemoryError

        runner.run = failing  # type: ignore[method-assign]
        with suppress(MemoryError):
            for _ in range(3):
                self.engine.step()
        runner.run = run  # type: ignore[method-assign]

    def hold(self) -> None:
        """Somebody else takes blocks, as an embedding does."""
        taken = [self.engine.pool.take() for _ in range(self.chance.randint(1, 4))]
        self.held += [block for block in taken if block is not None]

    def let_go(self) -> None:
        for block in self.held:
            self.engine.pool.release(block)
        self.held = []

    def require_accounts(self) -> None:
        require_accounts(self.engine._stepper, self.held)
        require_accounts(self.draft.stepper, [])


def require_accounts(stepper: Stepper, held: list[int]) -> None:
    """Each block is held as often as tables and others name it, and branches hold what they have computed."""
    pool, scheduler = stepper.pool, stepper.scheduler
    named = [0] * pool.count
    for block in [*held, *(block for branch in scheduler.branches for block in branch.table)]:
        named[block] += 1
    assert named == pool._references
    idle = sorted([*pool._free, *pool._retained])
    assert idle == [block for block in range(pool.count) if not named[block]]
    assert set(pool._key_of) == set(pool._serial_of) == set(pool._block_of.values())
    assert {len(tokens) for _, tokens in pool._block_of} <= {BLOCK} and len(pool._retained) <= pool.keep
    for branch in scheduler.running:
        assert branch.computed <= len(branch.table) * BLOCK and branch.computed <= len(branch.ids) + len(branch.draft)
        assert len(branch.serials) <= branch.computed // BLOCK
    for branch in scheduler.waiting:
        assert not branch.table and not branch.computed and not branch.draft


@pytest.mark.parametrize(
    "seeds",
    [range(20), pytest.param(range(100, 600), marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
    ids=["few", "many"],
)
def test_each_token_is_the_one_that_its_own_past_decides(seeds: range) -> None:
    for seed in seeds:
        try:
            Machine(Random(seed)).run(events=60)
        except BaseException as failure:
            failure.add_note(f"seed {seed}")
            raise
