"""Detectors against direct computations: transformers' logits, brute-force edit distances, counted ranks."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import tiny_config, tiny_folder, tiny_model, tiny_tokenizer
from whetstone.evals.contamination.detectors import canary, completion, loss, min_k, min_k_plus, twin_gap, zlib_ratio
from whetstone.evals.contamination.moments import TokenMoments, token_moments
from whetstone.models.loading import Loaded

IDS = st.lists(st.integers(0, 3), max_size=7)


def _texts() -> list[str]:
    return ["What is 60 + 34?\n94", "What is 61 + 3?\n64", "abc", "What is 60 + 34? No idea, said the fox.", "ab"]


def test_min_k_is_that_of_transformers_logits(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model")
    loaded = Loaded(tiny_model(), tiny_tokenizer(), "tiny", folder)
    sequences = [loaded.tokenizer.encode(text) for text in _texts()]
    oracle = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for pass_tokens in (1, 30, 4096):
        found = token_moments(loaded, sequences, pass_tokens)
        for ids, text, tokens in zip(sequences, _texts(), found, strict=True):
            with torch.no_grad():
                logits = oracle(torch.tensor([ids])).logits[0, :-1].double()
            logprobs = torch.log_softmax(logits, -1)
            p = logprobs.exp()
            chosen = logprobs.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
            mean = (p * logprobs).sum(-1)
            # the paper's own form of the variance: E[x^2] - E[x]^2
            deviation = ((p * logprobs**2).sum(-1) - mean**2).sqrt()
            assert tokens.logprobs == pytest.approx(chosen.numpy(), abs=2e-5)
            assert tokens.means == pytest.approx(mean.numpy(), abs=2e-5)
            assert tokens.deviations == pytest.approx(deviation.numpy(), abs=1e-4)
            count = max(1, int(0.2 * len(chosen)))
            assert min_k.score(tokens) == pytest.approx(float(chosen.sort().values[:count].mean()), abs=1e-4)
            plus = ((chosen - mean) / deviation).sort().values[:count].mean()
            assert min_k_plus.score(tokens) == pytest.approx(float(plus), abs=1e-3)
            assert loss.score(tokens) == pytest.approx(float(chosen.mean()), abs=1e-4)
            assert zlib_ratio.score(tokens, text) == pytest.approx(
                float(chosen.sum()) / len(zlib.compress(text.encode(), 9)), abs=1e-4
            )


def test_moments_of_a_certain_model_are_finite() -> None:
    config = tiny_config()
    model = tiny_model()
    with torch.no_grad():
        model.norm.weight.mul_(1e4)  # logits so far apart that one token has all the mass
    loaded = Loaded(model, tiny_tokenizer(), "tiny", Path("tiny"))
    (tokens,) = token_moments(loaded, [[5, 6, 7, 8]])
    assert np.isfinite(min_k_plus.score(tokens)) and (tokens.deviations > 0).all()
    assert config.vocab_size > 8


def test_a_sequence_of_one_token_is_refused() -> None:
    with pytest.raises(ValueError, match="two tokens"):
        token_moments(Loaded(tiny_model(), tiny_tokenizer(), "tiny", Path("tiny")), [[5]])


def test_the_lowest_fifth_is_at_least_one_token() -> None:
    assert min_k.lowest_mean(np.array([-1.0, -5.0, -2.0])) == -5.0
    assert min_k.lowest_mean(np.arange(10.0)) == 0.5
    tokens = TokenMoments(np.arange(4.0), np.zeros(4), np.ones(4))
    assert tokens.after(2).logprobs.tolist() == [2.0, 3.0]


@settings(deadline=None)
@given(IDS, IDS)
def test_edit_distance_is_the_textbook_one(left: list[int], right: list[int]) -> None:
    table = {(i, 0): i for i in range(len(left) + 1)} | {(0, j): j for j in range(len(right) + 1)}
    for i in range(1, len(left) + 1):
        for j in range(1, len(right) + 1):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (left[i - 1] != right[j - 1])
            )
    assert completion.edit_distance(left, right) == table[len(left), len(right)]
    score = completion.score(left, right)
    assert 0 <= score <= 1 and (score == 1) == (left == right)


def test_a_cut_leaves_something_on_both_sides() -> None:
    assert [completion.cut(range(n)) for n in (2, 3, 5, 10)] == [1, 2, 3, 6]


def test_canaries_are_a_function_of_their_key() -> None:
    first, again = canary.canaries(b"k", 3), canary.canaries(b"k", 5)
    assert first == again[:3]
    assert canary.canaries(b"other", 3) != first
    for each in first:
        assert len({each.end, *each.others}) == canary.ALTERNATIVES + 1
        assert all(len(end) == canary.DIGITS and end.isdigit() for end in (each.end, *each.others))


@given(st.floats(-5, 5), st.lists(st.floats(-5, 5), min_size=1, max_size=31))
def test_exposure_is_the_rank_in_bits(true: float, others: list[float]) -> None:
    found = canary.exposure(true, others)
    assert 0 <= found <= math.log2(len(others) + 1)
    if true not in others:
        rank = sorted([true, *others], reverse=True).index(true) + 1
        assert found == pytest.approx(math.log2(len(others) + 1) - math.log2(rank))


def test_modelled_exposure_is_calibrated_and_goes_on_beyond_the_ranks() -> None:
    generator = np.random.default_rng(1)
    drawn = generator.normal(-20, 3, (4000, canary.ALTERNATIVES + 1))
    bits = np.array([canary.score(row[0], row[1:].tolist()) for row in drawn])
    for wanted in (1, 3, 5):
        assert (bits >= wanted).mean() == pytest.approx(2.0**-wanted, rel=0.25)
    assert canary.score(0.0, drawn[0, 1:].tolist()) > canary.exposure(0.0, drawn[0, 1:].tolist())
    assert canary.score(-1.0, [-1.0, -1.0]) == 1.0


def test_a_twin_gap_is_less_what_references_show() -> None:
    assert twin_gap.score(1) == 1.0 and twin_gap.score(1, [1, 0]) == 0.5 and twin_gap.score(0, [1, 1]) == -1.0
    found = twin_gap.gap([1.0] * 40, [0.0] * 80)
    assert found.mean == 1.0 and 0.8 < found.low < 1.0
    none = twin_gap.gap([0.0] * 40, [0.0] * 80)
    assert none.low < 0 < none.high


def test_the_gap_interval_covers() -> None:
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        found = twin_gap.gap(generator.binomial(1, 0.5, 60).tolist(), generator.binomial(1, 0.3, 120).tolist())
        inside += found.low <= 0.2 <= found.high
    assert inside / 200 > 0.9
