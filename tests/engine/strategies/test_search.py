"""Beam search and tree search against brute force: over everything that can be said, and over what was drawn."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.strategies.asking import sums, tiny_backend
from tests.engine.strategies.exact import NEWLINE, asked, few_words, logprobs_of, sayings
from tests.engine.strategies.test_parallel import Length
from tests.tiny import tiny_tokenizer
from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Completion, Progress, Request, Sampler, SamplingParams
from whetstone.engine.samples import Pool
from whetstone.engine.strategies.beam import Beam
from whetstone.engine.strategies.growing import Pace, line_ends, number
from whetstone.engine.strategies.names import Tools, strategy_of
from whetstone.engine.strategies.run import Outcome, run
from whetstone.engine.strategies.strategy import Candidate, Question, Scores, Strategy
from whetstone.engine.strategies.tree import Trees
from whetstone.engine.verifiers.certainty import Likelihood
from whetstone.errors import UsageError

Ids = tuple[int, ...]
MODEL, TOKENIZER, FEW = few_words(2)


def whim(ids: Ids) -> float:
    """A score that nobody can foresee."""
    return int.from_bytes(hashlib.sha256(repr(ids).encode()).digest()[:6], "big") / 2**48


class Whims:
    """Scores unfinished answers too, for a price."""

    name, process = "whims", True
    params_needed: ClassVar[dict[str, Any]] = {}

    def score(self, candidates: Sequence[Candidate]) -> Scores:
        return Scores(tuple(whim(each.completion.ids) for each in candidates), tokens=len(candidates))


@dataclass
class Recorder:
    """A sampler that remembers: each round's answers so far, with what was drawn behind them."""

    sampler: Sampler
    prompt: int
    rounds: list[dict[Ids, list[Completion]]] = field(default_factory=list)

    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        drawn = self.sampler.sample(requests, params, progress)
        behind = [request.prompt_ids[self.prompt :] for request in requests]
        self.rounds.append(dict(zip(behind, drawn, strict=True)))
        return drawn


def solve(strategy: Strategy, question: Question, backend: Backend = FEW) -> tuple[Outcome, Recorder]:
    prompt = len(backend.request(list(question.prompts[0]), ()).prompt_ids)
    recorder = Recorder(backend.sampler, prompt)
    [outcome] = run(strategy, [question], backend, Pool(recorder, "few"))
    return outcome, recorder


def over(ids: Ids, room: int) -> bool:
    return ids[-1] in FEW.stop_ids or len(ids) == room


def test_wide_beams_find_the_likeliest_of_all_answers() -> None:
    model, _, backend = few_words(3, "", 1.0)  # four words
    question = asked(3)
    # hot, so that everything is drawn; likelihood is that of the distribution that is drawn from
    beam = Beam("beam", 25, Likelihood(), Pace(width=60, step=1, temperature=6.0))
    outcome, _ = solve(beam, question, backend)
    prompt = backend.request(list(question.prompts[0]), ()).prompt_ids
    logs = {ids: sum(logprobs_of(model, prompt, ids, 6.0)) for ids in sayings(model, prompt, backend.stop_ids, 3)}
    assert {each.completion.ids for each in outcome.choice.of} == set(logs), "nothing is missed"
    means = {ids: math.exp(value / len(ids)) for ids, value in logs.items()}
    best = max(means, key=lambda ids: means[ids])
    assert outcome.choice.of[0].completion.ids == best
    assert outcome.choice.notes["score"] == pytest.approx(means[best], rel=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 4), width=st.integers(1, 4), step=st.integers(1, 4), room=st.integers(1, 6), n=st.integers(0)
)
def test_a_beam_goes_on_where_brute_force_does(count: int, width: int, step: int, room: int, n: int) -> None:
    outcome, recorder = solve(Beam("beam", count, Whims(), Pace(width, step)), asked(room, n))
    beams: list[Ids] = [()]
    finished: set[Ids] = set()
    for drawn in recorder.rounds:
        going = [ids for ids in beams if not ids or not over(ids, room)]
        assert list(drawn) == going
        assert {len(steps) for steps in drawn.values()} == {width * count if going == [()] else width}
        grown = {ids + each.ids for ids, steps in drawn.items() for each in steps}
        beams = sorted(grown | (set(beams) - set(going)), key=whim, reverse=True)
        finished |= {ids for ids in beams if over(ids, room)}
        beams = beams[:count]
    assert all(over(ids, room) for ids in beams), "else it should have gone on"
    assert {each.completion.ids for each in outcome.choice.of} == finished
    assert whim(outcome.choice.of[0].completion.ids) == max(map(whim, finished))


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 4), width=st.integers(1, 4), step=st.integers(1, 4), room=st.integers(1, 6), n=st.integers(0)
)
def test_every_tree_takes_the_best_step_and_knows_nothing_of_the_others(
    count: int, width: int, step: int, room: int, n: int
) -> None:
    outcome, _ = solve(Trees("tree", count, Whims(), Pace(width, step)), asked(room, n))
    fewer, _ = solve(Trees("tree", 1, Whims(), Pace(width, step)), asked(room, n))
    leaves = [each.completion.ids for each in outcome.choice.of]
    assert len(leaves) == count and all(over(ids, room) for ids in leaves)
    assert fewer.choice.of[0].completion.ids in leaves
    for tree in range(count):
        ids: Ids = ()
        while not ids or not over(ids, room):
            seeds = tuple(asked(room, n).seed(number("step", tree, ids, member)) for member in range(width))
            prompt = FEW.request(list(asked(room).prompts[0]), ()).prompt_ids
            ends = FEW.stop_ids | {NEWLINE}
            params = SamplingParams(min(step, room - len(ids)), 1.0, ends)
            drawn = FEW.sampler.sample([Request(prompt + ids, seeds)], params)[0]
            ids = max((ids + each.ids for each in drawn), key=whim)
        assert ids in leaves


@settings(max_examples=40, deadline=None)
@given(
    method=st.sampled_from([Beam, Trees]),
    count=st.integers(1, 3),
    pace=st.builds(Pace, st.integers(1, 4), st.integers(1, 5), st.sampled_from([0.5, 1.0]), st.integers(1, 60)),
    room=st.integers(1, 8),
    n=st.integers(0),
)
def test_no_budget_is_exceeded_and_ids_are_what_the_model_said(
    method: Any, count: int, pace: Pace, room: int, n: int
) -> None:
    likelihood = Likelihood()
    outcome, recorder = solve(method("search", count, likelihood, pace), asked(room, n))
    assert pace.budget is not None and outcome.spent.written_tokens <= pace.budget
    drawn = [each for round_ in recorder.rounds for steps in round_.values() for each in steps]
    assert outcome.spent.written_tokens == sum(len(each.ids) for each in drawn)
    for candidate in outcome.choice.of:
        whole = candidate.completion
        assert len(whole.ids) == len(whole.logprobs) <= room
        assert candidate.text == TOKENIZER.decode([token for token in whole.ids if token not in FEW.stop_ids])
        if not whole.ids:
            continue
        prompt = candidate.request.prompt_ids
        made = logprobs_of(MODEL, prompt, whole.ids, pace.temperature)
        assert list(whole.logprobs) == pytest.approx(made, abs=1e-3)
        assert likelihood.score([candidate]).values[0] == pytest.approx(math.exp(fmean(made)), rel=1e-3)


def test_a_search_ends_by_itself_and_pays_for_its_verifier() -> None:
    for method in (Beam, Trees):
        for n in range(10):
            outcome, recorder = solve(method("search", 2, Whims(), Pace(3, 2)), asked(7, n))
            assert all(over(each.completion.ids, 7) for each in outcome.choice.of)
            assert 1 <= outcome.spent.rounds == len(recorder.rounds) <= 7
            assert outcome.spent.verifier_tokens >= outcome.spent.rounds


def test_a_step_ends_behind_a_newline() -> None:
    _, _, backend = few_words(5, "\nab", 0.5)  # says anything
    _, recorder = solve(Beam("beam", 2, Whims(), Pace(8, 5)), asked(20), backend)
    steps = [each.ids for drawn in recorder.rounds for steps in drawn.values() for each in steps]
    assert any(ids[-1] == NEWLINE for ids in steps), "else this shows nothing"
    assert all(NEWLINE not in ids[:-1] for ids in steps)
    assert line_ends(tiny_tokenizer()) == {tiny_tokenizer().encode("\n")[0]}


@dataclass
class CutBehind:
    """A sampler that ends an answer behind one token, as a server does at a client's stop string."""

    sampler: Sampler
    token: int

    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        return [[self._cut(each) for each in group] for group in self.sampler.sample(requests, params, progress)]

    def _cut(self, whole: Completion) -> Completion:
        if self.token not in whole.ids:
            return whole
        kept = whole.ids.index(self.token) + 1
        return replace(whole, ids=whole.ids[:kept], logprobs=whole.logprobs[:kept], finish="stop")


def test_nothing_is_written_behind_a_stop_string() -> None:
    letter = TOKENIZER.encode("a")[0]
    cut = replace(FEW, sampler=CutBehind(FEW.sampler, letter))
    answers = []
    for n in range(6):
        [outcome] = run(Beam("beam", 3, Whims(), Pace(4, 2)), [asked(9, n)], cut, Pool(cut.sampler, "few"))
        answers += [each.completion for each in outcome.choice.of]
    assert any(each.ids[-1] == letter for each in answers), "else this shows nothing"
    assert all(letter not in each.ids[:-1] for each in answers)
    assert {each.finish for each in answers if each.ids[-1] == letter} == {"stop"}


def test_places_of_a_search_share_no_seed() -> None:
    numbers = {
        number("step", tree, (1,) * depth, member) for tree in range(9) for depth in range(9) for member in range(9)
    }
    assert len(numbers) == 9**3 and min(numbers) >= 1 << 62 and max(numbers) < 1 << 63
    assert number("step", 1, (2, 3), 4) != number("step", 1, (2,), 3, 4)


def test_neighbours_change_nothing() -> None:
    questions = sums(4)
    backend = tiny_backend()
    for spec in ("beam-2:width=3,step=3", "tree-2:width=3,step=3,choose=best"):
        together = run(strategy_of(spec), questions, backend, Pool(backend.sampler, "tiny"))
        other = tiny_backend()
        alone = [run(strategy_of(spec), [each], other, Pool(other.sampler, "tiny"))[0] for each in questions]
        assert [each.choice for each in together] == [each.choice for each in alone]


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("beam-4:by=length", "length judges whole ones"),
        ("beam-4:by=nobody", "there is no such verifier"),
        ("tree-4:choose=worst", "unknown selection"),
        ("tree-0", "takes from 1"),
        ("beam-2:width=0", "width must be a number from 1"),
        ("power-4:alpha=0.5", "alpha must be a number from 1"),
        ("power-4:block=1.5", "block must be a whole number"),
        ("beam-2:width=2.5", "width must be a whole number"),
        ("tree-2:step=2.5", "step must be a whole number"),
        ("beam-2:tokens=9.5", "tokens must be a whole number"),
        ("prompts-2:wordings=2.5", "wordings must be a whole number"),
        ("consistency-2:t=1,t=0.5", "t is given twice"),
        ("allocate-300:most=300", "at most 256 samples, not 300"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(spec: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        strategy_of(spec, Tools({"length": Length()}))
