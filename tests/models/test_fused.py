"""Written-out backward passes are the derivatives of the plain formulas, which stand here once more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from whetstone.models.fused import rms_norm, rotate, swiglu

EPS = 1e-5


def some(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def plain_norm(x: Tensor, weight_D: Tensor) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPS) * weight_D).to(x.dtype)


def plain_rotation(x_NHE: Tensor, cos_NE: Tensor, sin_NE: Tensor) -> Tensor:
    half = x_NHE.shape[-1] // 2
    swapped = torch.cat((-x_NHE[..., half:], x_NHE[..., :half]), dim=-1)
    return x_NHE * cos_NE[:, None] + swapped * sin_NE[:, None]


def angles(tokens: int, size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    angle_NE = some(tokens, size // 2, seed=9).repeat(1, 2)
    return angle_NE.cos().to(dtype), angle_NE.sin().to(dtype)


CASES: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], list[tuple[int, ...]]]] = {
    "norm of rows": (lambda x, w: rms_norm(x, w, EPS), plain_norm, [(7, 10), (10,)]),
    "norm of heads": (lambda x, w: rms_norm(x, w, EPS), plain_norm, [(5, 3, 8), (8,)]),
    "swiglu": (swiglu, lambda g, u: F.silu(g) * u, [(7, 12), (7, 12)]),
    "rotation": (
        lambda x: rotate(x, *angles(5, 8, x.dtype)),
        lambda x: plain_rotation(x, *angles(5, 8, x.dtype)),
        [(5, 3, 8)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_backward_pass_is_the_derivative(name: str) -> None:
    ours, _, shapes = CASES[name]
    inputs = [some(*shape, seed=s, dtype=torch.float64).requires_grad_() for s, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(ours, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_equal_those_of_the_plain_formula(name: str, dtype: torch.dtype) -> None:
    ours, plain, shapes = CASES[name]
    # a norm's weight is fp32 whatever the activations are
    types = [torch.float32 if len(shape) == 1 else dtype for shape in shapes]
    results = []
    for function in (ours, plain):
        made = zip(shapes, types, strict=True)
        inputs = [some(*shape, seed=s, dtype=t).requires_grad_() for s, (shape, t) in enumerate(made)]
        out = function(*inputs)
        results.append([out, *torch.autograd.grad(out, inputs, some(*shapes[0], seed=5, dtype=dtype))])
    tolerance = 1e-5 if dtype == torch.float32 else 0.04
    for mine, theirs in zip(*results, strict=True):
        assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


def test_a_row_of_zeros_has_a_finite_norm_and_gradient() -> None:
    x = torch.zeros(2, 6, requires_grad=True)
    out = rms_norm(x, torch.ones(6), EPS)
    out.sum().backward()
    assert not out.any() and x.grad is not None
    torch.testing.assert_close(x.grad, torch.full((2, 6), EPS**-0.5))


def test_a_frozen_norm_gets_no_gradient() -> None:
    x, weight_D = some(3, 6).requires_grad_(), some(6)
    rms_norm(x, weight_D, EPS).sum().backward()
    assert x.grad is not None and weight_D.grad is None


def test_inputs_are_left_as_they_are() -> None:
    for ours, _, shapes in CASES.values():
        inputs = [some(*shape, seed=s).requires_grad_() for s, shape in enumerate(shapes)]
        before, sent = [x.detach().clone() for x in inputs], some(*shapes[0], seed=5)
        kept = sent.clone()
        torch.autograd.grad(ours(*inputs), inputs, sent)
        assert torch.equal(sent, kept) and all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True))
