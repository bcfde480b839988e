"""The decoder's elementwise work with backward passes written out: fewer passes over memory, and less kept.

Each function computes what the plain formula in its docstring says, and its derivative; tests hold both against
torch's own. Inputs may be narrower than fp32: sums over a row are then taken in fp32, as the plain formulas do.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis, in fp32, then in the dtype of x."""
    out: Tensor = _RMSNorm.apply(x, weight_D, eps)
    return out


def swiglu(gate_NF: Tensor, up_NF: Tensor) -> Tensor:
    """silu(gate) * up."""
    out: Tensor = _SwiGLU.apply(gate_NF, up_NF)
    return out


def rotate(x_NHE: Tensor, cos_NE: Tensor, sin_NE: Tensor) -> Tensor:
    """Rotate the two halves of every head by the position's angles (half-split layout, as in HF files):
    x cos + (-second half, first half) sin. Differentiable in `x_NHE`; the angles' two halves are equal."""
    out: Tensor = _Rotate.apply(x_NHE, cos_NE, sin_NE)
    return out


class _RMSNorm(torch.autograd.Function):
    """Keeps x and one number a row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        wide = _wide(x)
        # the norm of a row is one pass that writes nothing but a number
        square = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_()
        scale = square.div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight_D, scale)
        return (wide * scale).mul_(weight_D).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight_D, scale = ctx.saved_tensors
        normed, grad = _wide(x) * scale, _wide(grad)
        grad_weight_D = None
        product = grad * normed
        if ctx.needs_input_grad[1]:
            grad_weight_D = product.flatten(0, -2).sum(0)
        # with n = x scale: dx = scale (g w - n mean(g w n))
        mean = (product @ weight_D.to(product.dtype)).div_(x.shape[-1]).unsqueeze(-1)
        grad_x = torch.mul(grad, weight_D, out=product).addcmul_(normed, mean, value=-1).mul_(scale)
        return grad_x.to(x.dtype), grad_weight_D, None


class _SwiGLU(torch.autograd.Function):
    """Keeps gate and up; silu(gate) is computed again."""

    @staticmethod
    def forward(ctx: Any, gate_NF: Tensor, up_NF: Tensor) -> Tensor:
        ctx.save_for_backward(gate_NF, up_NF)
        return F.silu(gate_NF).mul_(up_NF)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NF: Tensor) -> tuple[Tensor, Tensor]:
        gate_NF, up_NF = ctx.saved_tensors
        grad_gate_NF = grad_NF * up_NF
        torch.ops.aten.silu_backward.grad_input(grad_gate_NF, gate_NF, grad_input=grad_gate_NF)
        return grad_gate_NF, F.silu(gate_NF).mul_(grad_NF)


class _Rotate(torch.autograd.Function):
    """Keeps the angles alone: the derivative of a rotation is the rotation by the opposite angle."""

    @staticmethod
    def forward(ctx: Any, x_NHE: Tensor, cos_NE: Tensor, sin_NE: Tensor) -> Tensor:
        ctx.save_for_backward(cos_NE, sin_NE)
        return _rotated(x_NHE, cos_NE, sin_NE, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NHE: Tensor) -> tuple[Tensor, None, None]:
        cos_NE, sin_NE = ctx.saved_tensors
        return _rotated(grad_NHE, cos_NE, sin_NE, -1), None, None


def _rotated(x_NHE: Tensor, cos_NE: Tensor, sin_NE: Tensor, direction: int) -> Tensor:
    half = x_NHE.shape[-1] // 2
    sin_NK = sin_NE[:, None, :half]
    out = x_NHE * cos_NE[:, None]
    out[..., :half].addcmul_(x_NHE[..., half:], sin_NK, value=-direction)
    out[..., half:].addcmul_(x_NHE[..., :half], sin_NK, value=direction)
    return out


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
