"""Log-probabilities of given tokens without keeping a [tokens, vocabulary] matrix longer than needed.

A matrix of 1,500 x 49,152 fp32 logits is 300 MB, and torch's own cross-entropy holds several of them. Here the rows
go through in chunks; the probabilities are kept for the backward pass while they fit `KEEP_BYTES` and computed again
where they do not.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_ROWS = 512
KEEP_BYTES = 2 << 30


class _Pairs:
    """The distinct (row, target) pairs of M tokens, ordered by row. Many tokens may share a pair: the answers of a
    group that begin alike."""

    def __init__(self, place_M: Tensor, targets_M: Tensor, rows: int, vocabulary: int) -> None:
        pair_P, self.pair_M = torch.unique(place_M * vocabulary + targets_M, return_inverse=True)
        self.row_P, self.target_P = pair_P // vocabulary, pair_P % vocabulary
        starts = torch.arange(0, rows + CHUNK_ROWS, CHUNK_ROWS, device=place_M.device)
        bounds = torch.searchsorted(self.row_P, starts).tolist()
        # for each chunk of rows: those rows, and the pairs that stand in them
        self.chunks = [
            (slice(chunk * CHUNK_ROWS, (chunk + 1) * CHUNK_ROWS), slice(first, end))
            for chunk, (first, end) in enumerate(itertools.pairwise(bounds))
        ]


def _weights(hidden_CD: Tensor, weight_VD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits less their row's largest, the exponentials of those, both [C, V] in fp32, and the latter's sums [C]."""
    logits_CV = hidden_CD @ weight_VD.T
    logits_CV -= logits_CV.amax(-1, keepdim=True)
    weights_CV = logits_CV.exp()
    return logits_CV, weights_CV, weights_CV.sum(-1)


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_UD: Tensor, weight_VD: Tensor, pairs: _Pairs) -> tuple[Tensor, Tensor]:
        keep = hidden_UD.shape[0] * weight_VD.shape[0] * 4 <= KEEP_BYTES and any(ctx.needs_input_grad[:2])
        logprobs, entropies, ctx.kept = [], [], []
        for rows, here in pairs.chunks:
            logits_CV, weights_CV, total_C = _weights(hidden_UD[rows], weight_VD)
            row_p = pairs.row_P[here] - rows.start
            logprobs.append(logits_CV[row_p, pairs.target_P[here]] - total_C.log()[row_p])
            # a logit of minus infinity has weight zero and must not turn the entropy into NaN
            entropies.append(total_C.log() - logits_CV.clamp_(min=-1e30).mul_(weights_CV).sum(-1) / total_C)
            if keep:
                ctx.kept.append((weights_CV, total_C))
        ctx.save_for_backward(hidden_UD, weight_VD)
        ctx.pairs = pairs
        entropy_U = torch.cat(entropies)
        ctx.mark_non_differentiable(entropy_U)
        return torch.cat(logprobs), entropy_U

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_P: Tensor, _: Tensor) -> tuple[Tensor, Tensor | None, None]:
        hidden_UD, weight_VD = ctx.saved_tensors
        pairs: _Pairs = ctx.pairs
        gradient_U = gradient_P.new_zeros(len(hidden_UD)).index_add_(0, pairs.row_P, gradient_P)
        grad_hidden_UD = torch.empty_like(hidden_UD)
        grad_weight_VD = torch.zeros_like(weight_VD) if ctx.needs_input_grad[1] else None
        for chunk, (rows, here) in enumerate(pairs.chunks):
            grad_CV, total_C = ctx.kept[chunk] if ctx.kept else _weights(hidden_UD[rows], weight_VD)[1:]
            # d log p(target) / d logits = onehot(target) - softmax
            grad_CV.mul_((-gradient_U[rows] / total_C)[:, None])
            # pairs are distinct, so this adds to each place once
            grad_CV[pairs.row_P[here] - rows.start, pairs.target_P[here]] += gradient_P[here]
            grad_hidden_UD[rows] = grad_CV @ weight_VD
            if grad_weight_VD is not None:
                grad_weight_VD.addmm_(grad_CV.T, hidden_UD[rows])
        ctx.kept = []
        return grad_hidden_UD, grad_weight_VD, None


def token_logprobs(
    hidden_UD: Tensor, weight_VD: Tensor, targets_M: Tensor, place_M: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """log softmax(hidden @ weight^T)[target] and the entropy of that softmax, both [M] in nats.

    `place_M` names the row of `hidden_UD` that predicts each target (row m where it is left out), so that a state that
    predicts a token of many answers goes through the vocabulary once. Differentiable in `hidden_UD` and `weight_VD`
    through the log-probability only. Inputs are widened to fp32.
    """
    if place_M is None:
        place_M = torch.arange(len(targets_M), device=targets_M.device)
    pairs = _Pairs(place_M, targets_M, len(hidden_UD), len(weight_VD))
    logprobs_P, entropy_U = _TokenLogprobs.apply(hidden_UD.float(), weight_VD.float(), pairs)
    return logprobs_P.index_select(0, pairs.pair_M), entropy_U.index_select(0, place_M)
