"""Choosing the next token: inverse-CDF sampling with one uniform number per sequence and position.

The uniform number is a hash of (sequence seed, position), so a sequence's randomness does not depend on its
neighbours in the batch, on the order of requests, or on any generator's hidden state: replay, resume, preemption and
speculation are exact. Sums run over blocks of the vocabulary first, and then over the tokens of one block: a cumulative
sum over the whole vocabulary in fp64 takes ten times longer, and in fp32 it is too coarse for the tail.

Shapes in names: M rows of logits, V vocabulary, K blocks of S tokens, I items (a sequence that chooses from a row).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from whetstone.engine.protocol import SamplingParams, TopLogprobs

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
SPAN = 256  # tokens in a block of the vocabulary
NUCLEUS = 1024  # tokens in which top-p and min-p first look for their cut

# (logits_MV, scale_M) -> (largest logit [M], sums of exp((logit - largest) * scale) over each block [M, K] fp64)
BlockSums = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Row:
    """What decides over one row of logits, besides the logits: parameters, and the tokens before it."""

    params: SamplingParams
    prompt_ids: Sequence[int]
    generated: Sequence[int]
    allowed_V: np.ndarray | None = None  # what a constraint allows


@dataclass(frozen=True)
class Choice:
    """The items' tokens [I] and log-probabilities [I]; `top[m]` for the rows that asked for it."""

    ids_I: Tensor
    logprobs_I: Tensor
    top: dict[int, tuple[Tensor, Tensor, Tensor]]

    def top_of(self, row: int, token: int) -> TopLogprobs | None:
        """The alternatives in that row, as the model alone sees them."""
        if row not in self.top:
            return None
        ids, logprobs, row_V = self.top[row]
        return TopLogprobs(tuple(ids.tolist()), tuple(logprobs.tolist()), float(row_V[token]))


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniforms(seeds_I: np.ndarray, positions: np.ndarray | int) -> np.ndarray:
    """One number in [0, 1) for each seed (uint64) and the position of the token to be chosen."""
    with np.errstate(over="ignore"):
        places = np.asarray(positions).astype(np.uint64) + np.uint64(1)
        bits = _mix(_mix(seeds_I + _GOLDEN) + places * _GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def block_sums(logits_MV: Tensor, scale_M: Tensor) -> tuple[Tensor, Tensor]:
    """See `BlockSums`; in torch, for any device."""
    top_M = logits_MV.amax(-1)
    weights_MV = logits_MV.sub(top_M[:, None]).mul_(scale_M[:, None]).exp_()
    blocks_MKS = F.pad(weights_MV, (0, -weights_MV.shape[1] % SPAN)).unflatten(1, (-1, SPAN))
    return top_M, blocks_MKS.sum(-1).double()


def choose(
    logits_MV: Tensor,
    rows: Sequence[Row],
    row_of_I: Sequence[int],
    uniforms_I: np.ndarray,
    sums: BlockSums = block_sums,
) -> Choice:
    """One token for every item, from the row that it names. `logits_MV` (fp32) is overwritten.

    Log-probabilities are of the distribution after penalties, bias, constraint and temperature, before its tail is
    cut; of greedy rows at temperature 1. NaN logits give NaN log-probabilities.
    """
    top = {m: _top(logits_MV[m], row.params.top_logprobs) for m, row in enumerate(rows) if row.params.top_logprobs}
    for m, row in enumerate(rows):
        if row.params.edits:
            _edit(logits_MV[m], row)
    greedy = [row.params.greedy for row in rows]
    scales = [1.0 if still else 1 / row.params.temperature for row, still in zip(rows, greedy, strict=True)]
    scale_M = torch.tensor(scales, dtype=torch.float32, device=logits_MV.device)
    top_M, sums_MK = sums(logits_MV, scale_M)
    total_M = sums_MK.sum(-1)
    for m, row in enumerate(rows):
        if row.params.truncates:
            sums_MK[m] = _truncate(logits_MV[m], top_M[m], scales[m], row.params)
    row_I = torch.tensor(row_of_I, device=logits_MV.device)
    if any(greedy):
        best_I = logits_MV.max(-1).indices[row_I]  # the first of equals; on a CPU many times quicker than argmax
    if all(greedy):
        ids_I = best_I
    else:
        ids_I = _inverse_cdf(logits_MV, top_M, scale_M, sums_MK, row_I, uniforms_I)
        if any(greedy):
            ids_I = torch.where(torch.tensor(greedy, device=row_I.device)[row_I], best_I, ids_I)
    shifted_I = (logits_MV[row_I, ids_I] - top_M[row_I]).double() * scale_M[row_I].double()
    return Choice(ids_I, (shifted_I - total_M[row_I].log()).float(), top)


def _inverse_cdf(
    logits_MV: Tensor, top_M: Tensor, scale_M: Tensor, sums_MK: Tensor, row_I: Tensor, uniforms_I: np.ndarray
) -> Tensor:
    """The first token of the row whose cumulative weight exceeds u * total, for each item."""
    upto_IK = sums_MK.cumsum(-1)[row_I]
    target_I1 = torch.from_numpy(uniforms_I).to(upto_IK.device)[:, None] * upto_IK[:, -1:]
    block_I1 = _first_beyond(upto_IK, target_I1)
    before_I1 = F.pad(upto_IK[:, :-1], (1, 0)).gather(1, block_I1)  # never above the target, as a difference may be
    vocabulary = logits_MV.shape[1]
    place_IS = block_I1 * SPAN + torch.arange(SPAN, device=block_I1.device)
    inside_IS = logits_MV[row_I[:, None], place_IS.clamp(max=vocabulary - 1)]
    weights_IS = (inside_IS - top_M[row_I, None]).mul_(scale_M[row_I, None]).exp_()
    weights_IS = weights_IS.masked_fill_(place_IS >= vocabulary, 0).double()
    ids_I1 = block_I1 * SPAN + _first_beyond(weights_IS.cumsum(-1), target_I1 - before_I1)
    return ids_I1[:, 0].clamp_(max=vocabulary - 1)  # beyond it only where the logits are not numbers


def _first_beyond(cumulative_IN: Tensor, target_I1: Tensor) -> Tensor:
    """Index [I, 1] of the first entry above the target, which is first put below the end: rounding can exceed it.

    An entry without weight is never the first one above anything, so a token of probability zero is never chosen.
    Where the weights are not numbers none is above anything: the last one then, and the log-probability tells.
    """
    end_I1 = cumulative_IN[:, -1:]
    target_I1 = torch.minimum(target_I1, end_I1 * (1 - 2.0**-52))
    return torch.searchsorted(cumulative_IN, target_I1, right=True).clamp_(max=cumulative_IN.shape[1] - 1)


def _edit(logits_V: Tensor, row: Row) -> None:
    """Penalties, bias and constraint, in place."""
    params = row.params
    if params.repetition_penalty != 1:
        seen = torch.tensor(sorted({*row.prompt_ids, *row.generated}), device=logits_V.device)
        values = logits_V[seen]
        logits_V[seen] = torch.where(values > 0, values / params.repetition_penalty, values * params.repetition_penalty)
    if row.generated and (params.presence_penalty or params.frequency_penalty):
        said, counts = torch.tensor(row.generated, device=logits_V.device).unique(return_counts=True)
        logits_V[said] -= params.presence_penalty + params.frequency_penalty * counts
    if params.logit_bias:
        tokens = torch.tensor(list(params.logit_bias), device=logits_V.device)
        logits_V[tokens] += torch.tensor(list(params.logit_bias.values()), dtype=torch.float32, device=logits_V.device)
    if row.allowed_V is not None:
        allowed_V = torch.from_numpy(row.allowed_V).to(logits_V.device)
        logits_V[: len(allowed_V)].masked_fill_(~allowed_V, -torch.inf)
        logits_V[len(allowed_V) :] = -torch.inf


def _truncate(logits_V: Tensor, top: Tensor, scale: float, params: SamplingParams) -> Tensor:
    """Set the logits outside top-k, then top-p, then min-p to minus infinity; returns the new sums of the blocks.

    The likeliest token always stays. Among equals the lower id goes first.
    """
    weights_V = ((logits_V - top) * scale).exp().double()
    vocabulary = len(weights_V)
    for wanted in (NUCLEUS, vocabulary):  # the cut is nearly always among the first thousand
        order = _largest(weights_V, min(vocabulary, max(wanted, 2 * params.top_k)))
        kept = weights_V[order[: params.top_k or vocabulary]]
        mass = kept.sum() if params.top_k else weights_V.sum()  # top-p is a share of what top-k left
        stays = (kept.cumsum(0) - kept < params.top_p * mass) & (kept >= params.min_p * kept[0])
        if not bool(stays.all()) or len(kept) == params.top_k:
            break
    stays[0] = True  # even of weights that are not numbers
    inside = order[: len(kept)][stays]
    values, weights = logits_V[inside], weights_V[inside]
    logits_V.fill_(-torch.inf)[inside] = values
    weights_V.zero_()[inside] = weights
    return F.pad(weights_V, (0, -vocabulary % SPAN)).unflatten(0, (-1, SPAN)).sum(-1)


def _largest(weights_V: Tensor, count: int) -> Tensor:
    """Indices of the `count` largest, largest first, equals by index."""
    found = weights_V.topk(count).indices.sort().values
    return found[weights_V[found].sort(descending=True, stable=True).indices]


def _top(logits_V: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    logprobs_V = logits_V.double().log_softmax(-1)
    values, ids = logprobs_V.topk(min(count, len(logprobs_V)))
    return ids, values, logprobs_V
