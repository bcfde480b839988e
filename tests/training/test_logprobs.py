"""Chunked log-probabilities equal torch's own, in value and gradient, whether kept or computed again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from whetstone.training import logprobs
from whetstone.training.logprobs import token_logprobs

ROWS, VOCABULARY, WIDTH = 13, 29, 8


def inputs(scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, output matrix, targets and a gradient to send back."""
    generator = torch.Generator().manual_seed(0)
    hidden_MD = (torch.randn(ROWS, WIDTH, generator=generator) * scale).requires_grad_()
    weight_VD = torch.randn(VOCABULARY, WIDTH, generator=generator).requires_grad_()
    targets_M = torch.randint(0, VOCABULARY, (ROWS,), generator=generator)
    return hidden_MD, weight_VD, targets_M, torch.randn(ROWS, generator=generator)


def expected(hidden_MD: Tensor, weight_VD: Tensor, targets_M: Tensor, sent_M: Tensor) -> tuple[Tensor, ...]:
    """Log-probabilities, entropies and both gradients by torch in double precision."""
    hidden, weight = hidden_MD.detach().double().requires_grad_(), weight_VD.detach().double().requires_grad_()
    all_MV = torch.log_softmax(hidden @ weight.T, -1)
    chosen_M = all_MV.gather(1, targets_M[:, None])[:, 0]
    entropy_M = -(all_MV.exp() * all_MV).nan_to_num().sum(-1)
    gradients = torch.autograd.grad((chosen_M * sent_M.double()).sum(), (hidden, weight))
    return chosen_M.detach(), entropy_M.detach(), *gradients


def assert_near(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours.detach().double(), theirs, rtol=2e-6, atol=5e-6)


@pytest.fixture(params=[1, 4, ROWS, 512])
def chunk_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(logprobs, "CHUNK_ROWS", request.param)
    return request.param


@pytest.fixture(params=[True, False], ids=["kept", "recomputed"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    # the very limit: the probabilities of these rows just fit, or just do not
    monkeypatch.setattr(logprobs, "KEEP_BYTES", ROWS * VOCABULARY * 4 - (0 if request.param else 1))
    return request.param


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_values_and_gradients_equal_those_of_torch(chunk_rows: int, kept: bool, scale: float) -> None:
    hidden_MD, weight_VD, targets_M, sent_M = inputs(scale)
    ours_M, entropy_M = token_logprobs(hidden_MD, weight_VD, targets_M)
    (ours_M * sent_M).sum().backward()
    chosen_M, entropies_M, grad_hidden_MD, grad_weight_VD = expected(hidden_MD, weight_VD, targets_M, sent_M)
    torch.testing.assert_close(ours_M.detach().double(), chosen_M, rtol=2e-6, atol=2e-5 * scale)
    torch.testing.assert_close(entropy_M.double(), entropies_M, rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(hidden_MD.grad.double(), grad_hidden_MD, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(weight_VD.grad.double(), grad_weight_VD, rtol=1e-5, atol=2e-5 * scale)
    assert not entropy_M.requires_grad


def test_what_is_kept_is_not_computed_again(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "CHUNK_ROWS", 4)
    calls = []
    compute = logprobs._weights
    monkeypatch.setattr(logprobs, "_weights", lambda *a: calls.append(None) or compute(*a))
    hidden_MD, weight_VD, targets_M, _ = inputs()
    token_logprobs(hidden_MD, weight_VD, targets_M)[0].sum().backward()
    assert len(calls) == (4 if kept else 8)


def test_both_paths_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a batch that just fits would train another model than one that just does not."""
    results = []
    for limit in (0, 1 << 30):
        monkeypatch.setattr(logprobs, "KEEP_BYTES", limit)
        hidden_MD, weight_VD, targets_M, sent_M = inputs()
        ours_M, entropy_M = token_logprobs(hidden_MD, weight_VD, targets_M)
        gradients = torch.autograd.grad((ours_M * sent_M).sum(), (hidden_MD, weight_VD))
        results.append((ours_M, entropy_M, *gradients))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_second_backward_pass_is_as_right_as_the_first(kept: bool) -> None:
    hidden_MD, weight_VD, targets_M, sent_M = inputs()
    loss = (token_logprobs(hidden_MD, weight_VD, targets_M)[0] * sent_M).sum()
    first = torch.autograd.grad(loss, (hidden_MD, weight_VD), retain_graph=True)
    second = torch.autograd.grad(loss, (hidden_MD, weight_VD))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("trained", ["hidden", "weight"])
def test_a_frozen_side_gets_no_gradient(kept: bool, trained: str) -> None:
    """LoRA freezes the output matrix."""
    hidden_MD, weight_VD, targets_M, sent_M = inputs()
    _, _, grad_hidden_MD, grad_weight_VD = expected(hidden_MD, weight_VD, targets_M, sent_M)
    (weight_VD if trained == "hidden" else hidden_MD).requires_grad_(False)
    (token_logprobs(hidden_MD, weight_VD, targets_M)[0] * sent_M).sum().backward()
    if trained == "hidden":
        assert weight_VD.grad is None
        assert_near(hidden_MD.grad, grad_hidden_MD)
    else:
        assert hidden_MD.grad is None
        assert_near(weight_VD.grad, grad_weight_VD)


def test_nothing_is_kept_without_gradients() -> None:
    hidden_MD, weight_VD, targets_M, _ = inputs()
    with torch.no_grad():
        ours_M, _ = token_logprobs(hidden_MD, weight_VD, targets_M)
    assert not ours_M.requires_grad


def test_logits_of_minus_infinity_give_no_nan(kept: bool) -> None:
    hidden_MD, weight_VD, targets_M, sent_M = inputs()
    with torch.no_grad():
        hidden_MD[:, 0] = 1e3
        weight_VD[:, 0] = 0
        weight_VD[[2, 5], 0] = -3e38  # times 1e3: beyond what fp32 holds
    targets_M[(targets_M == 2) | (targets_M == 5)] = 3
    assert (hidden_MD @ weight_VD.T)[:, [2, 5]].isneginf().all()
    ours_M, entropy_M = token_logprobs(hidden_MD, weight_VD, targets_M)
    (ours_M * sent_M).sum().backward()
    assert ours_M.isfinite().all() and entropy_M.isfinite().all()
    assert hidden_MD.grad.isfinite().all() and weight_VD.grad.isfinite().all()
    possible = [token for token in range(VOCABULARY) if token not in (2, 5)]
    left_M = torch.tensor([possible.index(token) for token in targets_M.tolist()])
    chosen_M, entropies_M, *_ = expected(hidden_MD, weight_VD[possible], left_M, sent_M)
    torch.testing.assert_close(ours_M.detach().double(), chosen_M, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(entropy_M.double(), entropies_M, rtol=1e-5, atol=2e-5)
    assert not weight_VD.grad[[2, 5]].any()


def test_a_target_of_probability_zero_is_minus_infinity_and_nothing_worse() -> None:
    hidden_MD = torch.tensor([[1e3], [1e3]])
    weight_VD = torch.tensor([[0.0], [-3e38], [0.0]])
    ours_M, entropy_M = token_logprobs(hidden_MD, weight_VD, torch.tensor([1, 0]))
    assert ours_M.tolist() == [-torch.inf, pytest.approx(-0.6931472)]
    assert entropy_M.tolist() == pytest.approx([0.6931472, 0.6931472])


def test_half_precision_inputs_are_widened() -> None:
    hidden_MD, weight_VD, targets_M, sent_M = inputs()
    half_MD = hidden_MD.detach().bfloat16().requires_grad_()
    ours_M, _ = token_logprobs(half_MD, weight_VD, targets_M)
    chosen_M, *_ = expected(half_MD, weight_VD, targets_M, sent_M)
    assert ours_M.dtype == torch.float32
    assert_near(ours_M, chosen_M)
    ours_M.sum().backward()
    assert half_MD.grad is not None and half_MD.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_rows_that_share_a_state_equal_rows_with_a_copy_each(chunk_rows: int, kept: bool, scale: float) -> None:
    """Values to the bit, gradients summed; some states predict nothing, some the same token twice."""
    hidden_UD, weight_VD, _, _ = inputs(scale)
    generator = torch.Generator().manual_seed(1)
    place_M = torch.randint(0, ROWS - 4, (40,), generator=generator) + (torch.arange(40) > 20) * 3
    targets_M = torch.randint(0, 5, (40,), generator=generator)
    sent_M = torch.randn(40, generator=generator)
    assert len(set(zip(place_M.tolist(), targets_M.tolist(), strict=True))) < 40
    assert len(place_M.unique()) < ROWS
    ours_M, entropy_M = token_logprobs(hidden_UD, weight_VD, targets_M, place_M)
    grads = torch.autograd.grad((ours_M * sent_M).sum(), (hidden_UD, weight_VD))
    copies_MD = hidden_UD.detach()[place_M]
    chosen_M, entropies_M, grad_copies_MD, grad_weight_VD = expected(copies_MD, weight_VD, targets_M, sent_M)
    torch.testing.assert_close(ours_M.detach().double(), chosen_M, rtol=2e-6, atol=2e-5 * scale)
    torch.testing.assert_close(entropy_M.double(), entropies_M, rtol=2e-5, atol=2e-5)
    grad_hidden_UD = torch.zeros(ROWS, WIDTH).double().index_add_(0, place_M, grad_copies_MD)
    torch.testing.assert_close(grads[0].double(), grad_hidden_UD, rtol=1e-5, atol=5e-5)
    torch.testing.assert_close(grads[1].double(), grad_weight_VD, rtol=1e-5, atol=5e-5 * scale)
