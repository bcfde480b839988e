"""Greedy, votes and best-of-n against brute force, their accounts, and the pool that they share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.strategies.asking import sums, tiny_backend, tiny_loaded
from whetstone.engine.protocol import SamplingParams
from whetstone.engine.samples import Pool, SampleFile
from whetstone.engine.selection import advantages, select
from whetstone.engine.strategies.names import DEFAULT_TEMPERATURE, Tools, strategy_of
from whetstone.engine.strategies.run import run
from whetstone.engine.strategies.spending import flops, weights_read
from whetstone.engine.strategies.strategy import Candidate, Scores
from whetstone.errors import UsageError


class Length:
    """Likes long answers."""

    name, process = "length", False
    params_needed: ClassVar[dict[str, Any]] = {}

    def score(self, candidates: Sequence[Candidate]) -> Scores:
        return Scores(tuple(float(len(each.completion.ids)) for each in candidates), tokens=7, flops=3.0)


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=12), st.randoms())
def test_a_selection_is_what_counting_says(answers: list[str | None], random: Any) -> None:
    scores = [random.random() for _ in answers]
    given_answers = [answer for answer in answers if answer is not None]
    if not given_answers:
        assert select("majority", answers) is None and select("best", answers, scores) is None
        return
    place = select("majority", answers)
    assert place is not None
    most = max(Counter(given_answers).values())
    assert answers[place] == next(a for a in given_answers if given_answers.count(a) == most)
    best = select("best", answers, scores)
    assert best is not None and scores[best] == max(s for s, a in zip(scores, answers, strict=True) if a is not None)
    weighted = select("weighted", answers, scores)
    sums_of = {a: sum(s for s, b in zip(scores, answers, strict=True) if a == b) for a in set(given_answers)}
    assert weighted is not None and sums_of[answers[weighted]] == pytest.approx(max(sums_of.values()))  # type: ignore
    assert select("first", answers) == answers.index(given_answers[0])


def test_advantages_are_centred() -> None:
    assert advantages([1, 0, 0, 1]) == (0.5, -0.5, -0.5, 0.5)


def test_consistency_takes_what_a_direct_vote_over_the_same_seeds_takes() -> None:
    backend, questions = tiny_backend(), sums(6)
    outcomes = run(strategy_of("consistency-5"), questions, backend, Pool(backend.sampler, "tiny"))
    for question, outcome in zip(questions, outcomes, strict=True):
        request = backend.request(list(question.prompts[0]), tuple(question.seed(i) for i in range(5)))
        params = SamplingParams(question.room, DEFAULT_TEMPERATURE, backend.stop_ids)
        completions = backend.sampler.sample([request], params)[0]
        assert [each.completion.ids for each in outcome.choice.of] == [each.ids for each in completions]
        answers = [each.answer for each in outcome.choice.of]
        votes = Counter(answer for answer in answers if answer is not None)
        assert outcome.choice.answer == (votes.most_common(1)[0][0] if votes else None)
        spent = outcome.spent
        assert spent.written_tokens == sum(len(each.ids) for each in completions)
        assert spent.prompt_tokens == len(request.prompt_ids) and spent.completions == 5 and spent.rounds == 1
        assert spent.cached_tokens == 4 * len(request.prompt_ids) and spent.seconds > 0


def test_best_takes_the_highest_score_and_pays_for_the_verifier() -> None:
    backend, questions = tiny_backend(), sums(4)
    tools = Tools({"length": Length()})
    outcomes = run(strategy_of("best-6:by=length", tools), questions, backend, Pool(backend.sampler, "tiny"))
    for outcome in outcomes:
        voting = [each for each in outcome.choice.of if each.answer is not None]
        if voting:
            longest = max(len(each.completion.ids) for each in voting)
            assert outcome.choice.notes["score"] == longest
        assert outcome.spent.verifier_tokens == 7


def test_an_ensemble_spreads_its_samples_over_the_wordings() -> None:
    backend, questions = tiny_backend(), sums(3, styles=3)
    outcomes = run(strategy_of("prompts-7:wordings=3"), questions, backend, Pool(backend.sampler, "tiny"))
    for outcome in outcomes:
        asked = Counter(each.request.prompt_ids for each in outcome.choice.of)
        assert sorted(asked.values()) == [2, 2, 3]


def test_a_pool_draws_once_and_goes_on_where_it_was(tmp_path: Path) -> None:
    backend, questions = tiny_backend(), sums(5)
    file = SampleFile(tmp_path / "samples.sqlite")
    first = Pool(backend.sampler, "tiny", file)
    small = run(strategy_of("consistency-4"), questions, backend, first)
    assert (first.drawn, first.found) == (20, 0)
    again = Pool(backend.sampler, "tiny", SampleFile(tmp_path / "samples.sqlite"))
    repeated = run(strategy_of("consistency-4"), questions, backend, again)
    assert (again.drawn, again.found) == (0, 20)
    assert [one.choice for one in repeated] == [one.choice for one in small]
    assert [one.spent for one in repeated] == [one.spent for one in small], (
        "the seconds of the draw, not of the look-up"
    )
    larger = run(strategy_of("consistency-6"), questions, backend, again)
    assert again.drawn == 10
    for one, two in zip(larger, small, strict=True):
        assert [each.completion for each in one.choice.of[:4]] == [each.completion for each in two.choice.of]
    other = Pool(backend.sampler, "other weights", file)
    run(strategy_of("consistency-4"), questions, backend, other)
    assert other.drawn == 20


def test_requests_with_less_room_are_other_samples(tmp_path: Path) -> None:
    backend = tiny_backend()
    request = backend.request(list(sums(1)[0].prompts[0]), (1, 2))
    pool = Pool(backend.sampler, "tiny", SampleFile(tmp_path / "samples.sqlite"))
    params = SamplingParams(9)
    mixed = [request, replace(request, room=4), replace(request, room=30)]
    whole, short, same = pool.sample(mixed, params)
    assert [len(each.completion.ids) for each in (*whole, *short)] == [9, 9, 4, 4]
    assert [each.completion.ids[:4] for each in whole] == [each.completion.ids for each in short]
    assert [each.completion for each in same] == [each.completion for each in whole]
    assert [[each.completion for each in group] for group in pool.sample(mixed, params)] == [
        [each.completion for each in group] for group in (whole, short, same)
    ]
    assert len(pool.file or ()) == 4, "more room than the parameters allow is none"


def test_flops_are_those_of_the_matrices_and_of_attention() -> None:
    config = tiny_loaded().model.config
    model = tiny_loaded().model
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)  # tied: the embedding is the head
    assert weights_read(config) == matrices
    one = flops(config, 1, 9)
    assert one == 2 * matrices + 4 * config.layers * config.heads * config.head_dim * 10
    assert flops(config, 3, 0) == pytest.approx(sum(flops(config, 1, place) for place in range(3)))


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("vote-8", "unknown strategy"),
        ("consistency-0", "takes from 1"),
        ("consistency-8:x=1", "no option 'x'"),
        ("consistency-8:t", "look like name=value"),
        ("consistency-8:t=hot", "must be a number"),
        ("greedy-2", "takes no number"),
        ("best-4:by=oracle", "there is no such verifier"),
    ],
)
def test_a_name_that_makes_no_sense_is_refused(spec: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        strategy_of(spec)
