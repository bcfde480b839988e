"""What a model expected at every token of a text: the log-probability that came, and the mean and spread of those that
could have come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from whetstone.evals.likelihood import PASS_TOKENS
from whetstone.models.loading import Loaded
from whetstone.models.packing import TokenTrie, passes

CHUNK_ROWS = 256  # rows of [rows, vocabulary] that are held at once
LEAST_SPREAD = 1e-6  # of a distribution that has all its mass on one token


@dataclass(frozen=True)
class TokenMoments:
    """Per token but the first, float64 [T - 1], in nats: the log-probability of the token, and under the model's own
    distribution p at that place the mean E_p[log p] and the standard deviation of log p."""

    logprobs: np.ndarray
    means: np.ndarray
    deviations: np.ndarray

    def after(self, tokens: int) -> TokenMoments:
        """The same without the first `tokens` values: what stands before a text is no part of it."""
        return TokenMoments(self.logprobs[tokens:], self.means[tokens:], self.deviations[tokens:])


@torch.no_grad()
def token_moments(
    loaded: Loaded, sequences: Sequence[Sequence[int]], pass_tokens: int = PASS_TOKENS
) -> list[TokenMoments]:
    """The moments of each sequence, in order. What sequences begin with in common is computed once; the vocabulary goes
    by in chunks of rows. Raises ValueError for a sequence of fewer than two tokens."""
    if any(len(sequence) < 2 for sequence in sequences):
        raise ValueError("a sequence needs at least two tokens: the first predicts the second")
    found: dict[int, TokenMoments] = {}
    for places in passes([sequence[:-1] for sequence in sequences], pass_tokens):
        batch = [sequences[place] for place in places]
        found.update(zip(places, _one_pass(loaded, batch), strict=True))
    return [found[place] for place in range(len(sequences))]


def _one_pass(loaded: Loaded, sequences: Sequence[Sequence[int]]) -> list[TokenMoments]:
    model = loaded.model
    tree = TokenTrie([tuple(sequence[:-1]) for sequence in sequences], model.device)
    hidden_ND = model(tree.ids_N, tree.positions_N, tree)
    place_M = torch.from_numpy(np.concatenate(tree.places)).to(model.device)
    target_M = torch.tensor([token for sequence in sequences for token in sequence[1:]], device=model.device)
    order_M = place_M.argsort()
    logprob_M, mean_N, deviation_N = target_M.new_empty(len(target_M), dtype=torch.float32), [], []
    weight_VD = model.head_weight_VD.float()
    bounds = torch.searchsorted(
        place_M[order_M], torch.arange(0, tree.tokens + CHUNK_ROWS, CHUNK_ROWS, device=model.device)
    )
    for chunk, first in enumerate(range(0, tree.tokens, CHUNK_ROWS)):
        logprobs_CV = torch.log_softmax(hidden_ND[first : first + CHUNK_ROWS].float() @ weight_VD.T, -1)
        here = order_M[bounds[chunk] : bounds[chunk + 1]]
        logprob_M[here] = logprobs_CV[place_M[here] - first, target_M[here]]
        mean_C, deviation_C = _spread(logprobs_CV)
        mean_N.append(mean_C)
        deviation_N.append(deviation_C)
    columns = (logprob_M, torch.cat(mean_N)[place_M], torch.cat(deviation_N)[place_M])
    cuts = np.cumsum([len(sequence) - 1 for sequence in sequences])[:-1]
    split = [np.split(column.double().cpu().numpy(), cuts) for column in columns]
    return [TokenMoments(*each) for each in zip(*split, strict=True)]


def _spread(logprobs_CV: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of log p under p itself, [C]."""
    p_CV = logprobs_CV.exp()
    # minus infinity has weight zero and must not become NaN
    finite_CV = logprobs_CV.clamp(min=-1e4)
    mean_C = (p_CV * finite_CV).sum(-1)
    variance_C = (p_CV * (finite_CV - mean_C[:, None]).square()).sum(-1)
    return mean_C, variance_C.sqrt().clamp(min=LEAST_SPREAD)
