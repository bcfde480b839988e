"""How likely a model finds given texts: the log-probability of every token, in few and bounded passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from whetstone.engine.protocol import Progress
from whetstone.errors import UsageError
from whetstone.models.loading import Loaded
from whetstone.models.packing import TokenTrie, Trie
from whetstone.training.logprobs import token_logprobs as logprobs_of_states

# Distinct tokens of one pass. At 4096 the activations of a 135M model take some 300 MB; logits go by in chunks.
PASS_TOKENS = 4096


@torch.no_grad()
def token_logprobs(
    loaded: Loaded,
    sequences: Sequence[Sequence[int]],
    progress: Progress | None = None,
    pass_tokens: int = PASS_TOKENS,
) -> list[np.ndarray]:
    """log p(sequence[i] | sequence[:i]) for i = 1, 2, … of each sequence: float32 [len(sequence) - 1], in nats.

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
    found: list[np.ndarray] = [np.empty(0, dtype=np.float32)] * len(sequences)
    done = 0
    for places in passes(sequences, pass_tokens):
        for place, logprobs in zip(places, _one_pass(loaded, [sequences[i] for i in places]), strict=True):
            found[place] = logprobs
        done += len(places)
        if progress is not None:
            progress(done, len(sequences))
    return found


def passes(sequences: Sequence[Sequence[int]], pass_tokens: int) -> Iterator[list[int]]:
    """Places of the sequences of each pass; those that begin alike stand together."""
    batch: list[int] = []
    trie = Trie()
    for place in sorted(range(len(sequences)), key=lambda place: tuple(sequences[place])):
        if not len(sequences[place]):
            raise ValueError("a sequence needs at least one token")
        computed = tuple(sequences[place][:-1])  # the last token predicts nothing that is asked for
        if batch and len(trie) + trie.missing(computed) > pass_tokens:
            yield batch
            batch, trie = [], Trie()
        batch.append(place)
        trie.insert(computed)
    if batch:
        yield batch


def _one_pass(loaded: Loaded, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
    asked = [tuple(sequence) for sequence in sequences if len(sequence) > 1]
    if not asked:
        return [np.empty(0, dtype=np.float32) for _ in sequences]
    model = loaded.model
    tree = TokenTrie([sequence[:-1] for sequence in asked], model.device)
    hidden_ND = model(tree.ids_N, tree.positions_N, tree)
    targets_M = torch.tensor([token for sequence in asked for token in sequence[1:]], device=model.device)
    place_M = torch.from_numpy(np.concatenate(tree.places)).to(model.device)
    # detached: nothing is kept for a backward pass
    logprobs_M, _ = logprobs_of_states(hidden_ND, model.head_weight_VD.detach(), targets_M, place_M)
    split = iter(np.split(logprobs_M.cpu().numpy(), np.cumsum([len(sequence) - 1 for sequence in asked])[:-1]))
    return [next(split) if len(sequence) > 1 else np.empty(0, dtype=np.float32) for sequence in sequences]
