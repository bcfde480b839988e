"""Votes that stop early, on a real model: the samples of the full vote, a loss within the bound, and thresholds that
hold on other questions than those by which they were chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.engine.strategies.asking import tiny_backend
from whetstone.engine.protocol import Completion
from whetstone.engine.samples import Pool, SampleFile
from whetstone.engine.strategies.adaptive import Agreement, Allocation, Calibrates
from whetstone.engine.strategies.confident import Confident, beliefs, binomial_tail, worst_window
from whetstone.engine.strategies.names import strategy_of
from whetstone.engine.strategies.run import Outcome, run
from whetstone.engine.strategies.stopping import safe_threshold, worst_loss
from whetstone.engine.strategies.strategy import Question, Strategy
from whetstone.errors import UsageError

BACKEND = tiny_backend(3)
TEMPERATURE = "t=0.25"  # at which this model has favourite first letters, of some questions more than of others


def letters(first: int, count: int) -> list[Question]:
    """Questions whose answer is the first letter that the model says."""

    def question(place: int) -> Question:
        asked = {"role": "user", "content": f"{place * place} and {place}?"}
        return Question(((asked,),), lambda text: text[:1].strip() or None, lambda member: (place << 20) + member, 4)

    return [question(place) for place in range(first, first + count)]


def ask(strategy: Strategy, questions: Sequence[Question], file: SampleFile | None = None) -> list[Outcome]:
    return run(strategy, questions, BACKEND, Pool(BACKEND.sampler, "tiny", file))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> SampleFile:
    return SampleFile(Path(tmp_path_factory.mktemp("pool")) / "samples.sqlite")


@pytest.mark.parametrize("loss", [0, 0.05])
def test_a_vote_that_stops_uses_the_samples_of_the_full_vote_and_loses_no_more_than_its_bound(
    loss: float, file: SampleFile
) -> None:
    questions = letters(0, 120)
    full = ask(strategy_of(f"consistency-16:{TEMPERATURE}"), questions, file)
    pool = Pool(BACKEND.sampler, "tiny", file)
    early = run(strategy_of(f"agree-16:{TEMPERATURE},loss={loss}"), questions, BACKEND, pool)
    assert pool.drawn == 0
    differing = 0
    for one, two in zip(early, full, strict=True):
        used = len(one.choice.of)
        assert [each.completion for each in one.choice.of] == [each.completion for each in two.choice.of[:used]]
        assert one.choice.notes["loss_bound"] == worst_loss(16, safe_threshold(16, loss)) <= loss
        differing += one.choice.answer != two.choice.answer
    assert differing <= loss * len(questions)
    spent = sum(one.spent.completions for one in early)
    assert spent < 0.9 * 16 * len(questions) and spent == sum(len(one.choice.of) for one in early)
    assert len({len(one.choice.of) for one in early}) > 3, "some questions need more than others"


def test_larger_waves_cost_samples_and_save_rounds(file: SampleFile) -> None:
    questions = letters(0, 40)
    one, four = (ask(strategy_of(f"agree-16:{TEMPERATURE},wave={wave}"), questions, file) for wave in (1, 4))
    assert sum(each.spent.rounds for each in four) < sum(each.spent.rounds for each in one)
    assert sum(each.spent.completions for each in four) >= sum(each.spent.completions for each in one)
    assert all(len(each.choice.of) <= 16 for each in four)


def test_an_allocation_keeps_its_mean_on_other_questions_and_gives_more_to_the_hard_ones(file: SampleFile) -> None:
    free = strategy_of(f"allocate-6:{TEMPERATURE}")
    assert isinstance(free, Allocation) and isinstance(free, Calibrates)
    with pytest.raises(UsageError, match="whet scale"):
        ask(free, letters(0, 1))
    found = free.calibrated(lambda strategy: ask(strategy, letters(1000, 150), file))
    assert found.spent.completions == 150 * 24
    again = strategy_of(found.strategy.name)
    assert again == found.strategy and isinstance(again, Agreement) and 6 < again.count <= 24
    on_those = [len(each.choice.of) for each in ask(again, letters(1000, 150), file)]
    assert sum(on_those) / 150 <= 6 and max(on_those) == again.count
    assert f"{sum(on_those) / 150:.2f} samples on average" in found.says
    one_more = [len(each.choice.of) for each in ask(free.rule(again.count + 1), letters(1000, 150), file)]
    assert again.count == 24 or sum(one_more) / 150 > 6, "the highest cap that keeps the mean"
    elsewhere = ask(again, letters(0, 150), file)
    used = [len(each.choice.of) for each in elsewhere]
    assert 4 < sum(used) / 150 < 7
    sure = [each.choice.confidence or 0 for each in elsewhere if len(each.choice.of) == min(used)]
    unsure = [each.choice.confidence or 0 for each in elsewhere if len(each.choice.of) == again.count]
    assert sum(sure) / len(sure) > sum(unsure) / len(unsure)


def test_a_calibrated_confidence_loses_no_more_than_it_says_on_other_questions(file: SampleFile) -> None:
    strategy = strategy_of(f"confident-16:{TEMPERATURE},loss=0.1")
    assert isinstance(strategy, Confident)
    found = strategy.calibrated(lambda each: ask(each, letters(1000, 150), file))
    assert strategy_of(found.strategy.name) == found.strategy and "150 answers" in found.says
    early = ask(found.strategy, letters(0, 150), file)
    full = ask(strategy_of(f"confident-16:{TEMPERATURE},threshold=2"), letters(0, 150), file)
    assert all(len(each.choice.of) == 16 for each in full)
    differing = sum(one.choice.answer != two.choice.answer for one, two in zip(early, full, strict=True))
    assert differing <= 0.1 * 150
    assert sum(len(each.choice.of) for each in early) < 0.8 * sum(len(each.choice.of) for each in full)
    # too few questions to be sure of anything: then nothing is saved
    few = strategy.calibrated(lambda each: ask(each, letters(1000, 8), file))
    assert few.strategy.threshold == 2 and "all 16 samples" in few.says  # type: ignore[attr-defined]


@given(st.lists(st.floats(-8, 0), min_size=1, max_size=60), st.integers(1, 20))
def test_the_worst_window_is_the_lowest_mean(logprobs: list[float], window: int) -> None:
    size = min(window, len(logprobs))
    means = [math.fsum(logprobs[at : at + size]) / size for at in range(len(logprobs) - size + 1)]
    completion = Completion((0,) * len(logprobs), tuple(logprobs), "stop", 0)
    assert worst_window(completion, window) == pytest.approx(math.exp(min(means)), rel=1e-6)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.01, 0.99)), max_size=9))
def test_beliefs_are_bayes_rule_over_all_answers_there_may_be(votes: list[tuple[str, float]]) -> None:
    everything = [*"abc", *(f"unseen {place}" for place in range(13))]
    weights = {
        answer: math.prod(sure if said == answer else (1 - sure) / 15 for said, sure in votes) for answer in everything
    }
    total = sum(weights.values())
    found = beliefs(votes)
    assert set(found) == {said for said, _ in votes}
    for answer, belief in found.items():
        assert belief == pytest.approx(weights[answer] / total, rel=1e-6, abs=1e-12)


def test_no_log_probabilities_no_confidence() -> None:
    with pytest.raises(UsageError, match="take agree"):
        worst_window(Completion((), (), "stop", 0, text="12", token_count=1))


def test_the_tail_of_a_binomial() -> None:
    for found, questions, share in ((0, 59, 0.05), (3, 150, 0.1), (8, 8, 0.3)):
        assert binomial_tail(found, questions, share) == pytest.approx(stats.binom.cdf(found, questions, share))
