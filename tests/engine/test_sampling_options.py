"""Truncation, penalties, bias and constraints, against transformers' own processors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from whetstone.engine.protocol import SamplingParams
from whetstone.engine.sampling import NUCLEUS, Row, choose, uniforms

PROMPT, SAID = (3, 5, 5, 9), (5, 7, 7, 7, 11)


def theirs(logits_V: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """What transformers makes of one row: log-probabilities, minus infinity where a token is cut off."""
    processors = LogitsProcessorList()
    if params.repetition_penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(params.repetition_penalty))
    processors.append(TemperatureLogitsWarper(params.temperature))
    if params.top_k:
        processors.append(TopKLogitsWarper(params.top_k))
    if params.top_p < 1:
        processors.append(TopPLogitsWarper(params.top_p))
    if params.min_p:
        processors.append(MinPLogitsWarper(params.min_p))
    return torch.log_softmax(processors(torch.tensor([PROMPT + SAID]), logits_V[None].clone())[0].double(), -1)


def ours(logits_V: torch.Tensor, params: SamplingParams, draws: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    chance = uniforms(np.arange(draws, dtype=np.uint64), 0)
    choice = choose(logits_V[None].clone(), [Row(params, PROMPT, SAID)], [0] * draws, chance)
    return choice.ids_I, choice.logprobs_I


OPTIONS = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.3, 0.8, 1.0, 1.7]),
        "top_k": st.sampled_from([0, 1, 3, 40, 5000]),
        "top_p": st.sampled_from([0.05, 0.5, 0.9, 0.999, 1.0]),
        "min_p": st.sampled_from([0.0, 0.02, 0.3, 1.0]),
        "repetition_penalty": st.sampled_from([1.0, 1.3, 0.7]),
    }
)


@settings(max_examples=30, deadline=None)
@given(OPTIONS, st.sampled_from([30, 300, NUCLEUS + 1700]), st.integers(0, 5))
def test_the_kept_tokens_are_those_of_transformers(options: dict[str, float], size: int, seed: int) -> None:
    logits_V = 3 * torch.randn(size, generator=torch.Generator().manual_seed(seed))
    params = SamplingParams(1, **options)  # type: ignore[arg-type]
    expected_V = theirs(logits_V, params)
    ids, _ = ours(logits_V, params)
    kept = set(expected_V.isfinite().nonzero()[:, 0].tolist())
    assert set(ids.tolist()) <= kept
    likely = {token for token in kept if expected_V[token] > np.log(0.004)}  # missed by 4,000 draws once in 10^7
    assert likely <= set(ids.tolist())


def test_frequencies_follow_what_is_left() -> None:
    logits_V = 2 * torch.randn(600, generator=torch.Generator().manual_seed(1))
    params = SamplingParams(1, temperature=0.9, top_k=20, top_p=0.9)
    ids, _ = ours(logits_V, params, draws=60_000)
    found = torch.bincount(ids, minlength=600) / len(ids)
    assert (found - theirs(logits_V, params).exp()).abs().max() < 0.01


def test_logprobs_are_those_before_the_tail_was_cut() -> None:
    """So that the trainer's ratio is not biased by the kept mass."""
    logits_V = torch.randn(300, generator=torch.Generator().manual_seed(2))
    whole = torch.log_softmax(logits_V.double() / 0.7, -1)
    ids, logprobs = ours(logits_V, SamplingParams(1, temperature=0.7, top_k=5))
    torch.testing.assert_close(logprobs.double(), whole[ids], rtol=0, atol=1e-6)


def test_presence_and_frequency_are_subtracted_from_what_was_said() -> None:
    logits_V = torch.zeros(20)
    params = SamplingParams(1, presence_penalty=0.5, frequency_penalty=0.25)
    expected_V = torch.zeros(20, dtype=torch.float64)
    expected_V[5], expected_V[7], expected_V[11] = -0.75, -1.25, -0.75
    ids, logprobs = ours(logits_V, params)
    torch.testing.assert_close(logprobs.double(), torch.log_softmax(expected_V, -1)[ids], rtol=0, atol=1e-6)


def test_bias_and_constraint() -> None:
    logits_V = torch.randn(40, generator=torch.Generator().manual_seed(3))
    biased = SamplingParams(1, temperature=0.0, logit_bias={17: 100.0, 3: -100.0})
    assert ours(logits_V, biased, draws=1)[0].tolist() == [17]
    allowed = np.zeros(30, dtype=bool)  # a tokenizer knows fewer ids than a padded head has
    allowed[[4, 8]] = True
    rows = [Row(SamplingParams(1, logit_bias={35: 50.0}), (), (), allowed)]
    choice = choose(logits_V[None].clone(), rows, [0] * 500, uniforms(np.arange(500, dtype=np.uint64), 0))
    assert set(choice.ids_I.tolist()) == {4, 8}
    expected = torch.log_softmax(logits_V[[4, 8]].double(), -1)
    assert choice.logprobs_I[choice.ids_I == 4][0].item() == pytest.approx(expected[0].item(), abs=1e-6)


def test_top_logprobs_are_the_models_own() -> None:
    """At temperature 1 and before bias: what a reader of log-probabilities wants to know about the model."""
    logits_V = torch.randn(50, generator=torch.Generator().manual_seed(4))
    expected = torch.log_softmax(logits_V.double(), -1)
    params = SamplingParams(1, temperature=0.2, top_logprobs=3, logit_bias={9: 99.0})
    choice = choose(logits_V[None].clone(), [Row(params, (), ())], [0], np.array([0.5]))
    top = choice.top_of(0, int(choice.ids_I[0]))
    assert top is not None and choice.ids_I.tolist() == [9]
    assert list(top.ids) == expected.topk(3).indices.tolist()
    assert top.logprobs == pytest.approx(expected.topk(3).values.tolist())
    assert top.chosen == pytest.approx(expected[9].item())


def test_rows_with_options_do_not_disturb_their_neighbours() -> None:
    logits_MV = torch.randn(4, 700, generator=torch.Generator().manual_seed(5))
    params = [
        SamplingParams(1, temperature=0.0),
        SamplingParams(1, top_p=0.5),
        SamplingParams(1, temperature=1.5),
        SamplingParams(1, temperature=0.7, repetition_penalty=1.5, top_k=7),
    ]
    rows = [Row(each, PROMPT, SAID) for each in params]
    row_of = [0, 1, 1, 2, 2, 3, 3, 3]
    chance = uniforms(np.arange(8, dtype=np.uint64), 3)
    together = choose(logits_MV.clone(), rows, row_of, chance)
    for item, row in enumerate(row_of):
        alone = choose(logits_MV[row : row + 1].clone(), [rows[row]], [0], chance[item : item + 1])
        assert alone.ids_I[0] == together.ids_I[item]
        assert alone.logprobs_I[0] == together.logprobs_I[item]


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": 101.0},
        {"presence_penalty": float("nan")},
        {"frequency_penalty": -float("inf")},
        {"logit_bias": {3: 1e300}},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"repetition_penalty": 0.0},
        {"top_logprobs": -1},
    ],
)
def test_impossible_parameters_are_refused(wrong: dict[str, object]) -> None:
    steering = ("presence_penalty", "frequency_penalty", "logit_bias")
    name = next(iter(wrong))
    with pytest.raises(ValueError, match="penalties and biases" if name in steering else name):
        SamplingParams(**{"max_new_tokens": 1, **wrong})  # type: ignore[arg-type]


def test_a_tiny_temperature_is_greedy() -> None:
    logits_V = torch.randn(50, generator=torch.Generator().manual_seed(6))
    for temperature in (1e-5, 1e-300):
        ids, logprobs = ours(logits_V, SamplingParams(1, temperature), draws=5)
        assert set(ids.tolist()) == {int(logits_V.argmax())} and logprobs.isfinite().all()
