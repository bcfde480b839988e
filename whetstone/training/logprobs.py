"""Log-probabilities of given tokens without keeping a [tokens, vocabulary] matrix longer than needed.

A matrix of 1,500 x 49,152 fp32 logits is 300 MB, and torch's own cross-entropy holds several of them. Here the rows
go through in chunks; the probabilities are kept for the backward pass while they fit `KEEP_BYTES` and computed again
where they do not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_ROWS = 512
KEEP_BYTES = 2 << 30


def _probabilities(hidden_CD: Tensor, weight_VD: Tensor, targets_C: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Softmax [C, V], log-probability of each target [C] and entropy [C] in nats, all fp32."""
    logits_CV = hidden_CD @ weight_VD.T
    logits_CV -= logits_CV.amax(-1, keepdim=True)
    target_C = logits_CV.gather(1, targets_C[:, None])[:, 0]
    weights_CV = logits_CV.exp()
    total_C = weights_CV.sum(-1)
    # a logit of minus infinity has weight zero and must not turn the entropy into NaN
    entropy_C = total_C.log() - logits_CV.clamp_(min=-1e30).mul_(weights_CV).sum(-1) / total_C
    return weights_CV.div_(total_C[:, None]), target_C - total_C.log(), entropy_C


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_MD: Tensor, weight_VD: Tensor, targets_M: Tensor) -> tuple[Tensor, Tensor]:
        keep = hidden_MD.shape[0] * weight_VD.shape[0] * 4 <= KEEP_BYTES
        logprobs, entropies, kept = [], [], []
        for start in range(0, hidden_MD.shape[0], CHUNK_ROWS):
            here = slice(start, start + CHUNK_ROWS)
            probabilities_CV, logprob_C, entropy_C = _probabilities(hidden_MD[here], weight_VD, targets_M[here])
            logprobs.append(logprob_C)
            entropies.append(entropy_C)
            if keep and any(ctx.needs_input_grad[:2]):
                kept.append(probabilities_CV)
        ctx.save_for_backward(hidden_MD, weight_VD, targets_M)
        ctx.kept = kept
        entropy_M = torch.cat(entropies)
        ctx.mark_non_differentiable(entropy_M)
        return torch.cat(logprobs), entropy_M

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_M: Tensor, _: Tensor) -> tuple[Tensor, Tensor | None, None]:
        hidden_MD, weight_VD, targets_M = ctx.saved_tensors
        grad_hidden_MD = torch.empty_like(hidden_MD)
        grad_weight_VD = torch.zeros_like(weight_VD) if ctx.needs_input_grad[1] else None
        for chunk, start in enumerate(range(0, hidden_MD.shape[0], CHUNK_ROWS)):
            here = slice(start, start + CHUNK_ROWS)
            if ctx.kept:
                grad_CV = ctx.kept[chunk]
            else:
                grad_CV, _logprob, _entropy = _probabilities(hidden_MD[here], weight_VD, targets_M[here])
            # d log p(target) / d logits = onehot(target) - softmax
            grad_CV.mul_(-gradient_M[here, None])
            grad_CV.scatter_add_(1, targets_M[here, None], gradient_M[here, None])
            grad_hidden_MD[here] = grad_CV @ weight_VD
            if grad_weight_VD is not None:
                grad_weight_VD.addmm_(grad_CV.T, hidden_MD[here])
        ctx.kept = []
        return grad_hidden_MD, grad_weight_VD, None


def token_logprobs(hidden_MD: Tensor, weight_VD: Tensor, targets_M: Tensor) -> tuple[Tensor, Tensor]:
    """log softmax(hidden @ weight^T)[target] and the entropy of that softmax, both [M] in nats.

    Differentiable in `hidden_MD` and `weight_VD` through the log-probability only. Inputs are widened to fp32.
    """
    logprobs_M, entropy_M = _TokenLogprobs.apply(hidden_MD.float(), weight_VD.float(), targets_M)
    return logprobs_M, entropy_M
