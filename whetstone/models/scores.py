"""How likely given tokens are under given hidden states, without a [tokens, vocabulary] matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from whetstone.models.decoder import Decoder

CHUNK_ROWS = 256


def target_scores(model: Decoder, hidden_ND: Tensor, place_M: Tensor, targets_M: Tensor) -> tuple[Tensor, Tensor]:
    """Both [M]: the log-probability of each target under the state at its place (nats, float32), and whether it is the
    likeliest. States (after the last norm) go through the vocabulary in chunks of rows, once each."""
    logprobs_M = hidden_ND.new_empty(len(targets_M), dtype=torch.float32)
    greedy_M = torch.empty(len(targets_M), dtype=torch.bool, device=hidden_ND.device)
    for start in range(0, len(hidden_ND), CHUNK_ROWS):
        logits_CV = model.logits(hidden_ND[start : start + CHUNK_ROWS])
        (here_m,) = ((place_M >= start) & (place_M < start + CHUNK_ROWS)).nonzero(as_tuple=True)
        row_m, target_m = place_M[here_m] - start, targets_M[here_m]
        logprobs_M[here_m] = logits_CV[row_m, target_m] - logits_CV.logsumexp(-1)[row_m]
        greedy_M[here_m] = logits_CV.argmax(-1)[row_m] == target_m
    return logprobs_M, greedy_M
