"""Power sampling against everything that a model of few words can say: the chain's law is computed, not estimated."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.engine.strategies.asking import sums, tiny_backend
from tests.engine.strategies.exact import Sayings, asked, few_words, sayings, sharpened
from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Completion, Request, SamplingParams, TopLogprobs
from whetstone.engine.samples import Pool, SampleFile
from whetstone.engine.strategies.names import strategy_of
from whetstone.engine.strategies.power import Power, log_acceptance
from whetstone.engine.strategies.run import run
from whetstone.errors import UsageError
from whetstone.models.decoder import Decoder

ALPHA = 3.0
Ids = tuple[int, ...]


class World:
    """The model's table of next tokens, at temperature 1 and at that of the proposals."""

    def __init__(self, model: Decoder, backend: Backend, room: int) -> None:
        self.prompt = backend.request(list(asked(room).prompts[0]), ()).prompt_ids
        self.stop = backend.stop_ids
        self.own: dict[Ids, float] = {}  # log-probability of the last of these tokens behind the others
        self.made: dict[Ids, float] = {}
        for t, table in ((1.0, self.own), (1 / ALPHA, self.made)):
            totals: Sayings = {(): 0.0}
            for length in range(1, room + 1):
                totals |= sayings(model, self.prompt, self.stop, length, t)
            table.update({ids: total - totals[ids[:-1]] for ids, total in totals.items() if ids})

    def answers(self, room: int) -> list[Ids]:
        return sorted(ids for ids in self.own if ids[-1] in self.stop or len(ids) == room if len(ids) <= room)

    def completion(self, ids: Ids) -> Completion:
        own = [self.own[ids[: place + 1]] for place in range(len(ids))]
        made = tuple(self.made[ids[: place + 1]] for place in range(len(ids)))
        return Completion(ids, made, "length", 0, tuple(TopLogprobs((), (), value) for value in own))

    def written(self, before: Ids, after: Ids) -> float:
        """Probability that `after` is what the proposal writes behind `before`."""
        return math.exp(sum(self.made[after[: place + 1]] for place in range(len(before), len(after))))

    def kernel(self, room: int) -> tuple[list[Ids], np.ndarray]:
        """What one step does among answers of at most `room` tokens: probabilities [from, to]."""
        states = self.answers(room)
        whole = [self.completion(ids) for ids in states]
        moves = np.zeros((len(states), len(states)))
        for i, old in enumerate(states):
            for j, new in enumerate(states):
                for kept in range(len(old)):
                    if old[:kept] == new[:kept]:
                        ratio = log_acceptance(whole[i], whole[j], kept, ALPHA)
                        moves[i, j] += self.written(old[:kept], new) * math.exp(min(0.0, ratio)) / len(old)
        moves[np.diag_indices_from(moves)] += 1 - moves.sum(1)  # what is turned down stays
        return states, moves

    def law(self, steps: int, block: int, room: int) -> dict[Ids, float]:
        """Of the chain after all its steps."""
        law: dict[Ids, float] = {(): 1.0}
        ended: dict[Ids, float] = {}
        for length in [*range(block, room, block), room]:
            longer: dict[Ids, float] = {}
            for ids in self.answers(length):
                longer[ids] = sum(law[ids[:k]] * self.written(ids[:k], ids) for k in range(length) if ids[:k] in law)
            if length < room:
                states, moves = self.kernel(length)
                after = np.array([longer[ids] for ids in states]) @ np.linalg.matrix_power(moves, steps)
                longer = dict(zip(states, after.tolist(), strict=True))
            law = {ids: weight for ids, weight in longer.items() if ids[-1] not in self.stop or length == room}
            ended |= {ids: ended.get(ids, 0) + longer[ids] for ids in longer if ids not in law}
        states, moves = self.kernel(room)
        start = np.array([law.get(ids, 0.0) + ended.get(ids, 0.0) for ids in states])
        assert start.sum() == pytest.approx(1)
        return dict(zip(states, (start @ np.linalg.matrix_power(moves, steps)).tolist(), strict=True))


def chains(power: Power, backend: Backend, room: int, count: int) -> Counter[Ids]:
    outcomes = run(power, [asked(room, chain) for chain in range(count)], backend, Pool(backend.sampler, "few"))
    return Counter(outcome.choice.of[0].completion.ids for outcome in outcomes)


def p_value(seen: Counter[Ids], law: dict[Ids, float]) -> float:
    """Chi-square of counts against a law; what is expected less than five times is put together."""
    count = sum(seen.values())
    common = [ids for ids in law if law[ids] * count >= 5]
    wanted = [law[ids] * count for ids in common]
    found = [float(seen[ids]) for ids in common]
    return float(stats.chisquare([*found, count - sum(found)], [*wanted, count - sum(wanted)]).pvalue)


@pytest.mark.parametrize("seed", [0, 6])
def test_a_step_leaves_the_powers_of_the_probabilities_as_they_are(seed: int) -> None:
    model, _, backend = few_words(seed, "\na", 1.5)
    world = World(model, backend, 3)
    states, moves = world.kernel(3)
    logs = sayings(model, world.prompt, world.stop, 3)
    assert sorted(logs) == states and len({len(ids) for ids in states}) == 3, "answers of different lengths"
    target = np.array([sharpened(logs, ALPHA)[ids] for ids in states])
    flow = target[:, None] * moves
    assert np.allclose(flow, flow.T, atol=1e-14), "detailed balance"
    assert np.allclose(np.linalg.matrix_power(moves, 4096)[0], target, atol=1e-6), "and there is no other such law"


@pytest.mark.parametrize(("steps", "block"), [(1, 3), (3, 1), (2, 2)])
def test_chains_have_the_law_that_enumeration_gives(steps: int, block: int) -> None:
    model, _, backend = few_words(0, "\na", 1.5)
    law = World(model, backend, 3).law(steps, block, 3)
    assert p_value(chains(Power("power", steps, ALPHA, block), backend, 3, 300), law) > 0.001


def test_many_steps_follow_the_power_and_a_low_temperature_does_not() -> None:
    model, _, backend = few_words(0, "\na", 1.5)
    world = World(model, backend, 3)
    power = sharpened(sayings(model, world.prompt, world.stop, 3), ALPHA)
    low = {ids: math.exp(v) for ids, v in sayings(model, world.prompt, world.stop, 3, 1 / ALPHA).items()}
    seen = chains(Power("power", 24, ALPHA, 3), backend, 3, 200)
    assert p_value(seen, power) > 0.001 and p_value(seen, low) < 1e-9
    drawn = backend.sampler.sample([Request(world.prompt, tuple(range(200)))], SamplingParams(3, 1 / ALPHA, world.stop))
    plain = Counter(each.ids for each in drawn[0])
    assert p_value(plain, low) > 0.001 and p_value(plain, power) < 1e-9

    def apart(law: dict[Ids, float]) -> float:  # total variation
        return sum(abs(law[ids] - power[ids]) for ids in law) / 2

    # exact: how far from the power after so many steps, with one block and with blocks of a token
    assert apart(low) > 0.5
    whole, pieces = ([apart(world.law(steps, block, 3)) for steps in (1, 4, 16, 64)] for block in (3, 1))
    assert whole == sorted(whole, reverse=True) and whole[2] < 0.1 and whole[3] < 1e-4
    assert all(a < b for a, b in zip(pieces, whole, strict=True)), "pieces make for a better start"


def test_a_chain_replays_and_goes_on_from_its_pool(tmp_path: Path) -> None:
    backend, questions = tiny_backend(), sums(3)
    power = strategy_of("power-4:alpha=2,block=5")
    file = SampleFile(tmp_path / "samples.sqlite")
    first = Pool(backend.sampler, "tiny", file)
    outcomes = run(power, questions, backend, first)
    again = Pool(backend.sampler, "tiny", file)
    assert run(power, questions, backend, again) == outcomes
    assert again.drawn == 0 and again.found == first.drawn + first.found
    alone = run(power, questions[1:2], tiny_backend(), Pool(tiny_backend().sampler, "tiny"))
    assert alone[0].choice == outcomes[1].choice, "neighbours change nothing"


def test_a_chain_keeps_to_its_room_and_counts_what_it_drew() -> None:
    backend, questions = tiny_backend(), sums(4)
    for outcome, question in zip(
        run(strategy_of("power-3:block=4"), questions, backend, Pool(backend.sampler, "tiny")), questions, strict=True
    ):
        [end] = outcome.choice.of
        assert len(end.completion.ids) <= question.room == 12
        assert len(end.completion.ids) == len(end.completion.logprobs) == len(end.completion.top)
        assert outcome.spent.rounds == outcome.spent.completions in {4, 7, 8, 10, 11, 12}
        assert 0 <= float(outcome.choice.notes["accepted"]) <= 1


def test_a_backend_without_what_it_needs_is_refused() -> None:
    class Bare:
        def sample(self, requests, params, progress=None):  # type: ignore[no-untyped-def]
            return [[Completion((5,), (-1.0,), "length", 0) for _ in each.seeds] for each in requests]

    by_ids = Backend(Bare(), tiny_backend().tokenizer)
    with pytest.raises(UsageError, match="no log-probabilities at temperature 1"):
        run(strategy_of("power-2"), sums(1), by_ids, Pool(by_ids.sampler, "bare"))
    by_messages = Backend(Bare())
    with pytest.raises(UsageError, match="takes messages only"):
        run(strategy_of("power-2"), sums(1), by_messages, Pool(by_messages.sampler, "bare"))


def test_greedy_models_are_left_as_they_are() -> None:
    """Where one token has all the probability, every proposal is what was there."""
    _, _, backend = few_words(1, sharpness=1000.0)
    [outcome] = run(strategy_of("power-5"), [asked(6)], backend, Pool(backend.sampler, "few"))
    [greedy] = run(strategy_of("greedy"), [asked(6)], backend, Pool(backend.sampler, "few"))
    assert outcome.choice.of[0].completion.ids == greedy.choice.of[0].completion.ids
    assert outcome.choice.notes["accepted"] == 1
