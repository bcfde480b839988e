"""Choosing the next token: inverse-CDF sampling with one uniform number per row.

The uniform number is a hash of (sequence seed, position), so a sequence's randomness does not depend on its
neighbours in the batch, on the order of requests, or on any generator's hidden state: replay and resume are exact.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
BLOCK = 256


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniforms(seeds_B: np.ndarray, position: int) -> np.ndarray:
    """One number in [0, 1) per seed (uint64) for the token at `position`."""
    with np.errstate(over="ignore"):
        bits = _mix(_mix(seeds_B + _GOLDEN) + np.uint64(position + 1) * _GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def choose(logits_BV: Tensor, temperature: float, uniforms_B: np.ndarray | None) -> tuple[Tensor, Tensor]:
    """Token ids [B] and their log-probabilities [B] (fp32). `logits_BV` is overwritten.

    With `uniforms_B` None (greedy) the log-probability is the model's own at temperature 1.
    """
    if uniforms_B is not None and temperature != 1.0:
        logits_BV.div_(temperature)
    top_B1, argmax_B1 = logits_BV.max(-1, keepdim=True)
    logits_BV.sub_(top_B1)
    if uniforms_B is None:
        # the chosen logit is now exactly zero, and its log-probability minus the log of the sum
        return argmax_B1[:, 0], -logits_BV.exp_().sum(-1, dtype=torch.float64).log().float()
    ids_B, shifted_B, total_B = _inverse_cdf(logits_BV, uniforms_B)
    return ids_B, (shifted_B - total_B.log()).float()


def _inverse_cdf(shifted_BV: Tensor, uniforms_B: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """The first token whose cumulative weight exceeds u * total: its id, its shifted logit, and the total (fp64).

    In two levels, sums of K blocks and then the S tokens of one block: a cumulative sum over the whole vocabulary in
    fp64 takes ten times longer, and in fp32 it is too coarse for the tail.
    """
    weights_BV = shifted_BV.exp()
    blocks_BKS = F.pad(weights_BV, (0, -weights_BV.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK))
    upto_BK = blocks_BKS.sum(-1).double().cumsum(-1)
    total_B1 = upto_BK[:, -1:]
    target_B1 = torch.from_numpy(uniforms_B).to(total_B1.device)[:, None] * total_B1
    block_B1 = _first_beyond(upto_BK, target_B1)
    before_B1 = F.pad(upto_BK[:, :-1], (1, 0)).gather(1, block_B1)  # never above the target, as a difference may be
    inside_BS = blocks_BKS.take_along_dim(block_B1[:, :, None], dim=1)[:, 0].double().cumsum(-1)
    ids_B1 = block_B1 * BLOCK + _first_beyond(inside_BS, target_B1 - before_B1)
    ids_B1.clamp_(max=shifted_BV.shape[1] - 1)  # beyond it only where the logits are not numbers
    return ids_B1[:, 0], shifted_BV.gather(1, ids_B1)[:, 0].double(), total_B1[:, 0]


def _first_beyond(cumulative_BN: Tensor, target_B1: Tensor) -> Tensor:
    """Index [B, 1] of the first entry above the target, which is first put below the end: rounding can exceed it.

    An entry without weight is never the first one above anything, so a token of probability zero is never chosen.
    Where the weights are not numbers none is above anything: the last one then, and the log-probability tells.
    """
    end_B1 = cumulative_BN[:, -1:]
    target_B1 = torch.minimum(target_B1, end_B1 * (1 - 2.0**-52))
    return torch.searchsorted(cumulative_BN, target_B1, right=True).clamp_(max=cumulative_BN.shape[1] - 1)
