"""How likely a model finds given texts: the log-probability of every token, in few and bounded passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from whetstone.engine.protocol import Progress
from whetstone.errors import UsageError
from whetstone.models.loading import Loaded
from whetstone.models.packing import TokenTrie, passes
from whetstone.models.scores import target_scores

# Distinct tokens of one pass. At 4096 the activations of a 135M model take some 300 MB; logits go by in chunks.
PASS_TOKENS = 4096


@dataclass(frozen=True)
class TokenScores:
    """Of each token but the first: `logprobs` (float32, nats), and whether it was the likeliest one (`greedy`)."""

    logprobs: np.ndarray
    greedy: np.ndarray


def token_logprobs(
    loaded: Loaded,
    sequences: Sequence[Sequence[int]],
    progress: Progress | None = None,
    pass_tokens: int = PASS_TOKENS,
) -> list[np.ndarray]:
    """The `logprobs` of `token_scores`: float32 [len(sequence) - 1] for each sequence, in nats."""
    return [scores.logprobs for scores in token_scores(loaded, sequences, progress, pass_tokens)]


@torch.no_grad()
def token_scores(
    loaded: Loaded,
    sequences: Sequence[Sequence[int]],
    progress: Progress | None = None,
    pass_tokens: int = PASS_TOKENS,
) -> list[TokenScores]:
    """log p(sequence[i] | sequence[:i]) for i = 1, 2, … of each sequence.

    The first token has nothing before it and no value: begin a sequence with the model's own opening token where it
    has one. What sequences begin with in common is computed once, so many continuations of one context cost little
    more than the context. A pass holds at most `pass_tokens` distinct tokens (a longer sequence goes alone).
    Log-softmax is in float32 whatever the activations are. `progress` hears (sequences done, sequences in all).

    Raises UsageError for a sequence that is longer than the positions of the model, ValueError for an empty one.
    """
    positions = loaded.model.config.max_positions
    longest = max(map(len, sequences), default=0)
    if longest > positions:
        raise UsageError(
            f"a text of {longest} tokens is longer than the {positions} positions of {loaded.name}: cut it"
        )
    found: list[TokenScores] = [_NOTHING] * len(sequences)
    done = 0
    if any(len(sequence) == 0 for sequence in sequences):
        raise ValueError("a sequence needs at least one token")
    # the last token predicts nothing that is asked for
    for places in passes([sequence[:-1] for sequence in sequences], pass_tokens):
        for place, scores in zip(places, _one_pass(loaded, [sequences[i] for i in places]), strict=True):
            found[place] = scores
        done += len(places)
        if progress is not None:
            progress(done, len(sequences))
    return found


_NOTHING = TokenScores(np.empty(0, dtype=np.float32), np.empty(0, dtype=bool))


def _one_pass(loaded: Loaded, sequences: Sequence[Sequence[int]]) -> list[TokenScores]:
    asked = [tuple(sequence) for sequence in sequences if len(sequence) > 1]
    if not asked:
        return [_NOTHING for _ in sequences]
    model = loaded.model
    tree = TokenTrie([sequence[:-1] for sequence in asked], model.device)
    hidden_ND = model(tree.ids_N, tree.positions_N, tree)
    targets_M = torch.tensor([token for sequence in asked for token in sequence[1:]], device=model.device)
    place_M = torch.from_numpy(np.concatenate(tree.places)).to(model.device)
    logprobs_M, greedy_M = target_scores(model, hidden_ND, place_M, targets_M)
    ends = np.cumsum([len(sequence) - 1 for sequence in asked])[:-1]
    parts = zip(np.split(logprobs_M.cpu().numpy(), ends), np.split(greedy_M.cpu().numpy(), ends), strict=True)
    return [TokenScores(*next(parts)) if len(sequence) > 1 else _NOTHING for sequence in sequences]
