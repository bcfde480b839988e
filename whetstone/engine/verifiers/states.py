"""What a head looks at: hidden states of given sequences, pooled, and how likely the model finds what it wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whetstone.engine.protocol import Progress
from whetstone.engine.strategies.spending import state_flops
from whetstone.models.loading import Loaded
from whetstone.models.packing import TokenTrie, passes
from whetstone.models.scores import target_scores

PASS_TOKENS = 4096  # distinct tokens of one pass: bounds the memory of its activations
POOLINGS = ("last", "mean")
SAID = 3  # columns that are no state: the mean, the sum and the least of the answer's log-probabilities

States = NDArray[np.float32]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Written:
    """Prompt and answer as one sequence. `start`: where the answer begins (at least one token stands before it).
    `ends`: the answer is looked at up to each of these places; where one is `start`, nothing has been written yet."""

    ids: tuple[int, ...]
    start: int
    ends: tuple[int, ...]


@dataclass(frozen=True)
class Pooled:
    """A row for each end of each sequence in order. last, mean [M, D]: the state at the last token, and the mean over
    the answer's tokens (of the prompt's last token where there is none). said [M, SAID]: mean, sum and least of the
    log-probabilities of the answer's tokens in nats, at temperature 1 (0 where there is none)."""

    last_MD: States
    mean_MD: States
    said_MS: States

    def pooled(self, how: str) -> NDArray[np.float64]:
        """[M, D + SAID]: the states as one of `POOLINGS`, and what was said."""
        state_MD = {"last": self.last_MD, "mean": self.mean_MD}[how]
        return np.concatenate([state_MD, self.said_MS], axis=1).astype(np.float64)


@dataclass(frozen=True)
class Looked:
    """What was seen after each of the layers asked for; tokens computed, what several sequences begin with counted
    once; and the arithmetic of that."""

    layers: dict[int, Pooled]
    tokens: int
    flops: float


@torch.no_grad()
def look(
    loaded: Loaded,
    written: Sequence[Written],
    layers: Sequence[int],
    progress: Progress | None = None,
    pass_tokens: int = PASS_TOKENS,
) -> Looked:
    """The states after `layers` blocks (the model's own number of them: after the last norm), and what the answers'
    log-probabilities are. What sequences begin with in common is computed once. `progress` hears (sequences done,
    sequences in all)."""
    config = loaded.model.config
    rows_of = np.split(np.arange(sum(len(each.ends) for each in written)), np.cumsum([len(w.ends) for w in written]))
    count = sum(map(len, rows_of))
    said_MS = np.zeros((count, SAID), np.float32)
    shape = count, config.width
    found = {layer: Pooled(np.empty(shape, np.float32), np.empty(shape, np.float32), said_MS) for layer in layers}
    tokens, cost, done = 0, 0.0, 0
    for places in passes([each.ids for each in written], pass_tokens):
        batch, rows = [written[place] for place in places], [rows_of[place] for place in places]
        tree = TokenTrie([each.ids for each in batch], loaded.model.device)
        states = loaded.model.states(tree.ids_N, tree.positions_N, tree, {*layers, config.layers})
        for layer in layers:
            _pool(found[layer], states[layer].float().cpu().numpy(), batch, rows, tree.places)
        predicting = _say(said_MS, loaded, states[config.layers], batch, rows, tree.places)
        tokens += tree.tokens
        cost += sum(state_flops(config, run.length, run.start, config.layers) for run in tree.runs)
        cost += 2.0 * config.vocab_size * config.width * predicting
        done += len(places)
        if progress is not None:
            progress(done, len(written))
    return Looked(found, tokens, cost)


def _pool(
    pooled: Pooled, state_ND: States, batch: Sequence[Written], rows: Sequence[Places], paths: Sequence[Places]
) -> None:
    """Fill the rows of one pass with its states."""
    for each, own, path in zip(batch, rows, paths, strict=True):
        for row, end in zip(own, each.ends, strict=True):
            answer = path[each.start : end] if end > each.start else path[each.start - 1 : each.start]
            pooled.last_MD[row] = state_ND[answer[-1]]
            pooled.mean_MD[row] = state_ND[answer].mean(0)


def _say(
    said_MS: States,
    loaded: Loaded,
    hidden_ND: Tensor,
    batch: Sequence[Written],
    rows: Sequence[Places],
    paths: Sequence[Places],
) -> int:
    """Fill the rows of one pass with the answers' log-probabilities; returns how many states went through the
    vocabulary for that."""
    before = [path[each.start - 1 : len(path) - 1] for each, path in zip(batch, paths, strict=True)]
    rows_U, place_M = np.unique(np.concatenate(before), return_inverse=True)
    targets_M = [token for each in batch for token in each.ids[each.start :]]
    device = hidden_ND.device
    logprobs_M, _ = target_scores(
        loaded.model,
        hidden_ND[torch.from_numpy(rows_U).to(device)],
        torch.from_numpy(place_M).to(device),
        torch.tensor(targets_M, dtype=torch.long, device=device),
    )
    parts = np.split(logprobs_M.cpu().numpy(), np.cumsum([len(each) for each in before])[:-1])
    for each, own, logprobs in zip(batch, rows, parts, strict=True):
        for row, end in zip(own, each.ends, strict=True):
            if end > each.start:
                so_far = logprobs[: end - each.start]
                said_MS[row] = so_far.mean(), so_far.sum(), so_far.min()
    return len(rows_U)
