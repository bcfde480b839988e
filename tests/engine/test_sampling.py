"""Choosing tokens: the numbers are uniform, a row's depend on its own seed alone, and the choice follows softmax."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from whetstone.engine.protocol import SamplingParams
from whetstone.engine.sampling import SPAN, Row, choose, uniforms


def pick(logits_MV: torch.Tensor, temperature: float, chance: np.ndarray | None) -> tuple[torch.Tensor, torch.Tensor]:
    """One token from each row; without a number the likeliest."""
    params = SamplingParams(1, 0.0 if chance is None else temperature)
    rows = range(len(logits_MV))
    numbers = np.zeros(len(rows)) if chance is None else chance
    choice = choose(logits_MV, [Row(params, (), ())] * len(rows), rows, numbers)
    return choice.ids_I, choice.logprobs_I


ALMOST_ONE = 1 - 2.0**-53
seeds = st.integers(0, 2**64 - 1)


@given(st.lists(seeds, min_size=1, max_size=8), st.integers(0, 2**40))
def test_uniforms_are_in_the_half_open_interval_and_a_rows_own(batch: list[int], position: int) -> None:
    numbers = uniforms(np.array(batch, dtype=np.uint64), position)
    assert ((numbers >= 0) & (numbers < 1)).all()
    alone = [uniforms(np.array([seed], dtype=np.uint64), position)[0] for seed in batch]
    assert numbers.tolist() == alone
    turned = uniforms(np.array(batch[::-1], dtype=np.uint64), position)
    assert turned.tolist() == alone[::-1]


@pytest.mark.parametrize("first", [0, 2**63, 0x9E3779B97F4A7C15])
def test_uniforms_are_uniform_along_seeds_and_along_positions(first: int) -> None:
    """Neighbouring seeds, and neighbouring positions of one seed, are the hardest case for a hash."""
    neighbours = np.arange(20_000, dtype=np.uint64) + np.uint64(first)
    along_seeds = uniforms(neighbours, 3)
    along_positions = np.concatenate([uniforms(neighbours[:1], position) for position in range(20_000)])
    for numbers in (along_seeds, along_positions):
        assert stats.kstest(numbers, "uniform").pvalue > 1e-3
        pairs, _, _ = np.histogram2d(numbers[:-1], numbers[1:], bins=10, range=[[0, 1], [0, 1]])
        assert stats.chisquare(pairs.flatten()).pvalue > 1e-3
        assert len(set(numbers.tolist())) == len(numbers)


def splitmix(x: int) -> int:
    """Steele, Lea and Flood's finaliser, on Python's own integers."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
    return x ^ (x >> 31)


@given(seeds, st.integers(0, 2**40))
def test_the_hash_is_the_one_that_is_documented(seed: int, position: int) -> None:
    """Another hash, or another numpy, would silently change every run that is resumed."""
    golden = 0x9E3779B97F4A7C15
    bits = splitmix((splitmix((seed + golden) % 2**64) + (position + 1) * golden) % 2**64)
    assert uniforms(np.array([seed], dtype=np.uint64), position).tolist() == [(bits >> 11) * 2.0**-53]


def drawn(logits: list[float], temperature: float, n: int = 40_000) -> tuple[torch.Tensor, torch.Tensor]:
    chance = uniforms(np.arange(n, dtype=np.uint64), 0)
    parts = [pick(torch.tensor(logits).repeat(len(part), 1), temperature, part) for part in np.array_split(chance, 8)]
    return torch.cat([ids for ids, _ in parts]), torch.cat([logprobs for _, logprobs in parts])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_frequencies_and_logprobs_follow_softmax(temperature: float) -> None:
    logits = [1.0, -0.5, 0.0, 2.0, -3.0, 0.3]
    ids, logprobs = drawn(logits, temperature)
    expected = torch.log_softmax(torch.tensor(logits, dtype=torch.float64) / temperature, -1)
    counts = np.bincount(ids.numpy(), minlength=len(logits))
    assert stats.chisquare(counts, (expected.exp() * len(ids)).numpy()).pvalue > 1e-3
    assert logprobs.dtype == torch.float32
    torch.testing.assert_close(logprobs.double(), expected[ids], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [SPAN - 1, SPAN, SPAN + 1, 3 * SPAN + 7])
def test_vocabularies_of_more_than_one_block_follow_softmax_too(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    logits = torch.randn(size, generator=generator) - 4 * torch.rand(size, generator=generator)
    logits[::5] = -torch.inf
    ids, logprobs = drawn(logits.tolist(), 1.0, n=20_000)
    expected = torch.log_softmax(logits.double(), -1)
    torch.testing.assert_close(logprobs.double(), expected[ids], rtol=0, atol=2e-6)
    # seven tokens share a cell, so that no cell is nearly empty
    counts, chances = np.zeros(size // 7 + 1), np.zeros(size // 7 + 1)
    np.add.at(counts, ids.numpy() // 7, 1)
    np.add.at(chances, np.arange(size) // 7, expected.exp().numpy())
    keep = chances * len(ids) > 5
    counts, chances = counts[keep], chances[keep]
    assert stats.chisquare(counts, chances * counts.sum() / chances.sum()).pvalue > 1e-3


@given(
    st.lists(st.tuples(st.integers(0, 3 * SPAN - 1), st.floats(-60, 5, width=32)), min_size=1, max_size=6),
    st.integers(0, 2**53 - 1),
)
def test_few_tokens_among_many_are_found_wherever_they_stand(tokens: list[tuple[int, float]], bits: int) -> None:
    """Against the definition: the first token whose cumulative probability exceeds the number, or its neighbour where
    the two agree to rounding."""
    logits = torch.full((3 * SPAN,), -torch.inf)
    for token, logit in tokens:
        logits[token] = logit
    chance = bits * 2.0**-53
    [token], [logprob] = (x.tolist() for x in pick(logits[None].clone(), 1.0, np.array([chance])))
    cumulative = torch.softmax(logits.double(), -1).cumsum(-1)
    assert logits[token] > -torch.inf and logprob > -torch.inf
    below = float(cumulative[token - 1]) if token else 0.0
    assert below - 1e-6 <= chance <= float(cumulative[token]) + 1e-6


def test_rounding_at_the_edge_of_a_block_never_chooses_a_token_of_probability_zero() -> None:
    """A first block of 2**-53 of all weight, and a second that begins with an impossible token."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.full((400, 2 * SPAN), -torch.inf)
    logits[:, 0] = -37.5 + 2.5 * torch.rand(400, generator=generator)
    logits[:, SPAN + 40] = 0.0
    logits[:, SPAN + 41 : SPAN + 43] = -torch.rand(400, 2, generator=generator)
    for chance in (0.0, 2.0**-53, 2.0**-52, ALMOST_ONE):
        ids, logprobs = pick(logits.clone(), 1.0, np.full(400, chance))
        assert logprobs.isfinite().all() and logits.gather(1, ids[:, None]).isfinite().all(), chance


def test_what_is_not_a_number_is_told_by_the_logprob_and_does_not_crash() -> None:
    for bad in (torch.nan, torch.inf):
        logits = torch.zeros(3, 2 * SPAN + 1)
        logits[1, 5] = bad
        for chance in (None, np.array([0.3, 0.3, 0.3])):
            ids, logprobs = pick(logits.clone(), 1.0, chance)
            assert logprobs.isnan().tolist() == [False, True, False]
            assert ((ids >= 0) & (ids < 2 * SPAN + 1)).all()


def test_a_token_of_probability_zero_is_never_chosen() -> None:
    never = float("-inf")
    logits = [never, 0.0, never, never, 1.0, -200.0, never]
    ids, logprobs = drawn(logits, 1.0)
    assert set(ids.tolist()) == {1, 4} and logprobs.isfinite().all()
    for edge in (0.0, 2.0**-53, 0.5, ALMOST_ONE):
        ids, logprobs = pick(torch.tensor([logits]), 1.0, np.array([edge]))
        assert ids.item() in (1, 4) and logprobs.isfinite().all(), edge


@settings(max_examples=60)
@given(
    st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=40),
    st.sets(st.integers(0, 39)),
    st.sampled_from([0.0, 2.0**-53, ALMOST_ONE]),
)
def test_at_the_ends_of_the_interval_the_choice_has_probability(
    logits: list[float], banned: set[int], chance: float
) -> None:
    shut = [x if i not in banned or i == 0 else -torch.inf for i, x in enumerate(logits)]
    ids, logprobs = pick(torch.tensor([shut]), 1.0, np.array([chance]))
    assert shut[ids.item()] > -torch.inf and logprobs.item() > -torch.inf


def test_greedy_takes_the_largest_and_tells_its_probability_at_temperature_one() -> None:
    logits = torch.randn(50, 30, generator=torch.Generator().manual_seed(0)) * 4
    expected = torch.log_softmax(logits.double(), -1)
    for temperature in (0.0, 0.3, 1.0):
        ids, logprobs = pick(logits.clone(), temperature, None)
        assert torch.equal(ids, logits.argmax(-1))
        torch.testing.assert_close(logprobs.double(), expected.amax(-1), rtol=0, atol=1e-6)


def test_large_logits_do_not_overflow() -> None:
    logits = torch.tensor([[9e4, 9e4, -9e4], [-9e4, -9e4, -9e4]])
    ids, logprobs = pick(logits.clone(), 1.0, np.array([0.7, 0.7]))
    assert ids.tolist() == [1, 2]
    torch.testing.assert_close(logprobs, torch.tensor([0.5, 1 / 3]).log())
    assert pick(logits, 1.0, None)[1].tolist() == pytest.approx([np.log(0.5), np.log(1 / 3)])


def test_a_rows_choice_does_not_depend_on_its_neighbours() -> None:
    logits = torch.randn(9, 20, generator=torch.Generator().manual_seed(1))
    chance = uniforms(np.arange(9, dtype=np.uint64), 2)
    ids, logprobs = pick(logits.clone(), 0.8, chance)
    for row in range(9):
        one_id, one_logprob = pick(logits[row : row + 1].clone(), 0.8, chance[row : row + 1])
        assert one_id.item() == ids[row] and one_logprob.item() == logprobs[row]
