"""The kernel's exponential, and the sums that the sampler needs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.engine.native.paged import needs_kernel
from whetstone.engine.native import block_sums, load

pytestmark = needs_kernel


def native_exp(values: np.ndarray) -> np.ndarray:
    library, out = load(), np.empty_like(values)
    assert library is not None
    library.native_exp(values.ctypes.data, out.ctypes.data, len(values))
    return out


def test_exp_is_accurate_over_its_whole_range() -> None:
    near = np.random.default_rng(0).normal(size=100_000)
    values = np.concatenate((np.linspace(-87, 88, 1_000_001), near)).astype(np.float32)
    exact = np.exp(values.astype(np.float64))
    assert np.abs(native_exp(values) / exact - 1).max() < 2e-7


def test_exp_beyond_its_range() -> None:
    values = np.array([-np.inf, -1e30, -87.1, 0, -0.0, 1e30, np.inf, np.nan], dtype=np.float32)
    found = native_exp(values)
    assert (found[:3] == 0).all() and (found[3:5] == 1).all()
    assert (found[5:7] > 1e38).all() and np.isnan(found[7])


@pytest.mark.parametrize("vocab", [1, 15, 16, 255, 256, 257, 1000, 49152])
@pytest.mark.parametrize("temperature", [1.0, 0.7, 3.0])
def test_block_sums_equal_torchs(vocab: int, temperature: float) -> None:
    logits = 10 * torch.randn(5, vocab, generator=torch.Generator().manual_seed(vocab))
    top, sums = block_sums(logits, temperature, threads=1)
    scaled = logits / temperature
    assert torch.equal(top, scaled.max(-1).values)
    weights = (scaled - top[:, None]).double().exp()
    padded = torch.nn.functional.pad(weights, (0, -vocab % 256)).unflatten(1, (-1, 256))
    assert torch.allclose(sums, padded.sum(-1), rtol=2e-6, atol=1e-30)


def test_block_sums_do_not_depend_on_neighbours_threads_or_layout() -> None:
    logits = 5 * torch.randn(9, 1000)
    top, sums = block_sums(logits, 0.8, threads=1)
    for threads in (2, 3):
        again = block_sums(logits, 0.8, threads)
        assert torch.equal(again[0], top) and torch.equal(again[1], sums)
    for row in range(9):
        alone = block_sums(logits[row : row + 1], 0.8)
        assert torch.equal(alone[0][0], top[row]) and torch.equal(alone[1][0], sums[row])
    for same in (logits.t().contiguous().t(), torch.nn.functional.pad(logits, (3, 7))[:, 3:-7]):
        assert torch.equal(block_sums(same, 0.8)[1], sums)


def test_a_logit_that_is_no_number_shows() -> None:
    logits = torch.randn(2, 600)
    logits[1, 300] = torch.nan
    sums = block_sums(logits)[1]
    assert torch.isfinite(sums[0]).all() and torch.isnan(sums[1].sum())
    assert block_sums(torch.empty(0, 600))[1].shape == (0, 3)


def test_what_it_does_not_take() -> None:
    for wrong in (torch.zeros(3), torch.zeros(2, 3, dtype=torch.float64)):
        with pytest.raises(ValueError, match="fp32 matrix"):
            block_sums(wrong)
    with pytest.raises(ValueError, match="temperature"):
        block_sums(torch.zeros(2, 3), 0.0)
