"""Certainty against the formulas of the papers, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.strategies.asking import sums, tiny_backend
from whetstone.engine.protocol import Completion, Request, SamplingParams, TopLogprobs
from whetstone.engine.samples import Pool
from whetstone.engine.strategies.names import Tools, strategy_of
from whetstone.engine.strategies.run import run
from whetstone.engine.strategies.strategy import Candidate
from whetstone.engine.verifiers import free_verifiers
from whetstone.engine.verifiers.certainty import Certainty, Likelihood, lowest_mean, token_certainty
from whetstone.errors import UsageError


def candidate(tops: list[list[float]], logprobs: list[float], finish: str = "stop") -> Candidate:
    top = tuple(TopLogprobs(tuple(range(len(each))), tuple(each), each[0]) for each in tops)
    completion = Completion(tuple(range(len(logprobs))), tuple(logprobs), finish, 0, top)  # type: ignore[arg-type]
    return Candidate(Request((1, 2), (0,)), completion, "", None)


@given(st.lists(st.lists(st.floats(-9, 9), min_size=7, max_size=7), min_size=1, max_size=9))
def test_over_the_whole_vocabulary_it_is_the_papers_self_certainty(logits: list[list[float]]) -> None:
    logits_NV = np.array(logits)
    p_NV = np.exp(logits_NV) / np.exp(logits_NV).sum(1, keepdims=True)
    n, v = p_NV.shape
    papers = -np.log(v * p_NV).sum() / (n * v)  # Kang et al. 2025, equation (9)
    tops = [sorted(row, reverse=True) for row in np.log(p_NV).tolist()]
    (found,) = Certainty(top=v).score([candidate(tops, [-1.0] * n)]).values
    assert found == pytest.approx(papers, abs=1e-9)
    k = 3  # truncated: KL of the uniform distribution over the k likeliest, DeepConf's confidence but for log k
    deepconf = np.mean([-sum(row[:k]) / k for row in tops])
    (truncated,) = Certainty(top=k).score([candidate(tops, [-1.0] * n)]).values
    assert truncated == pytest.approx(deepconf - math.log(k), abs=1e-9) and truncated >= 0


@given(st.lists(st.floats(0, 9), min_size=1, max_size=12), st.integers(1, 15))
def test_the_lowest_window(values: list[float], window: int) -> None:
    width = min(window, len(values))
    expected = min(np.mean(values[i : i + width]) for i in range(len(values) - width + 1))
    assert lowest_mean(values, window) == pytest.approx(expected, abs=1e-9)


def test_what_cannot_be_known() -> None:
    assert token_certainty(TopLogprobs((1, 2), (0.0, -math.inf), 0.0), 2) == pytest.approx(50 - math.log(2))
    silent = candidate([], [], "refused")
    assert Certainty().score([silent]).values == Likelihood().score([silent]).values == (0.0,)
    with pytest.raises(UsageError, match="certainty needs the probabilities of the likeliest tokens"):
        Certainty().score([candidate([], [-1.0])])
    with pytest.raises(UsageError, match="needs the tokens' log-probabilities"):
        Likelihood().score(
            [Candidate(Request((), (0,)), Completion((), (), "stop", 0, text="4", token_count=1), "4", "4")]
        )


def test_there_is_one_likelihood() -> None:
    """A search goes by the very score that best-of and votes go by."""
    for name in ("beam-2", "tree-2", "beam-2:t=0.5", "best-2:by=likelihood", "weighted-2:by=likelihood,t=0.5"):
        strategy = strategy_of(name, Tools(free_verifiers()))
        assert strategy.verifier == free_verifiers()["likelihood"], name  # type: ignore[attr-defined]


def test_likelihood_is_a_probability() -> None:
    (value,) = Likelihood().score([candidate([], [math.log(0.5), math.log(0.125)])]).values
    assert value == pytest.approx(0.25)


@pytest.mark.parametrize("name", ["certainty", "confidence", "likelihood"])
def test_best_takes_the_one_that_a_plain_calculation_prefers(name: str) -> None:
    backend, questions = tiny_backend(), sums(5)
    tools = Tools(free_verifiers())
    outcomes = run(strategy_of(f"best-6:by={name}", tools), questions, backend, Pool(backend.sampler, "tiny"))
    params = SamplingParams(questions[0].room, 1.0, backend.stop_ids, top_logprobs=20)
    for question, outcome in zip(questions, outcomes, strict=True):
        request = backend.request(list(question.prompts[0]), tuple(question.seed(i) for i in range(6)))
        (completions,) = backend.sampler.sample([request], params)

        def value(place: int, completions: list[Completion] = completions) -> float:
            if name == "likelihood":
                return float(np.mean(completions[place].logprobs))
            each = [-np.mean(top.logprobs[:20]) for top in completions[place].top]
            if name == "confidence" and len(each) > 16:
                return float(min(np.mean(each[i : i + 16]) for i in range(len(each) - 15)))
            return float(np.mean(each))

        voting = [place for place, each in enumerate(outcome.choice.of) if each.answer is not None]
        if voting:
            assert outcome.choice.answer == outcome.choice.of[max(voting, key=value)].answer
        assert outcome.spent.verifier_tokens == 0
