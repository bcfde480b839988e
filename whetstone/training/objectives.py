"""Policy objectives: what one token's log-probability is worth. An objective is one pure function.

Each takes, per response token, the policy's log-probability, the sampler's own, and the advantage, and returns the
token's loss and a mask of the tokens that still carry gradient. The trainer sums and divides by the response tokens
of the *whole* optimizer batch, so that gradient accumulation equals one big batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Objective = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]

LOG_RATIO_LIMIT = 10.0


def log_ratio(logprobs_M: Tensor, sampler_M: Tensor) -> Tensor:
    """log(policy / sampler), clamped before anyone takes its exponential."""
    return (logprobs_M - sampler_M).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def trust_region(
    logprobs_M: Tensor, sampler_M: Tensor, advantages_M: Tensor, limit: float = 0.2, pull: float = 1e-3
) -> tuple[Tensor, Tensor]:
    """-mask * ratio * advantage + pull * (log ratio)^2.

    The mask drops a token once its *probability* has moved `limit` in the direction that the advantage asks for
    (binary total variation, DPPO, arXiv 2602.04879): ratio clipping over-punishes rare tokens and under-constrains
    common ones.
    """
    log_ratio_M = log_ratio(logprobs_M, sampler_M)
    moved_M = logprobs_M.detach().exp() - sampler_M.exp()
    beyond_M = ((advantages_M > 0) & (moved_M > limit)) | ((advantages_M < 0) & (moved_M < -limit))
    mask_M = ~beyond_M
    return -(mask_M * log_ratio_M.exp() * advantages_M) + pull * log_ratio_M.square(), mask_M


def ppo_clip(
    logprobs_M: Tensor, sampler_M: Tensor, advantages_M: Tensor, low: float = 0.2, high: float = 0.28
) -> tuple[Tensor, Tensor]:
    """-min(ratio * A, clip(ratio) * A) with the wider upper clip of DAPO (arXiv 2503.14476)."""
    ratio_M = log_ratio(logprobs_M, sampler_M).exp()
    clipped_M = ratio_M.clamp(1 - low, 1 + high)
    loss_M = -torch.minimum(ratio_M * advantages_M, clipped_M * advantages_M)
    mask_M = ~(((advantages_M > 0) & (ratio_M > 1 + high)) | ((advantages_M < 0) & (ratio_M < 1 - low)))
    return loss_M, mask_M


def reinforce(logprobs_M: Tensor, sampler_M: Tensor, advantages_M: Tensor) -> tuple[Tensor, Tensor]:
    """-log p * A, with no correction for a sampler that differs (Williams 1992)."""
    return -logprobs_M * advantages_M, torch.ones_like(advantages_M, dtype=torch.bool)


OBJECTIVES: dict[str, Objective] = {
    "trust_region": trust_region,
    "ppo_clip": ppo_clip,
    "reinforce": reinforce,
}
