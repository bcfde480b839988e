"""Hidden states of given sequences, pooled: what a head looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from whetstone.engine.protocol import Progress
from whetstone.engine.strategies.spending import state_flops
from whetstone.models.loading import Loaded
from whetstone.models.packing import TokenTrie, passes

PASS_TOKENS = 4096  # distinct tokens of one pass: bounds the memory of its activations
POOLINGS = ("last", "mean")

States = NDArray[np.float32]


@dataclass(frozen=True)
class Written:
    """Prompt and answer as one sequence. `start`: where the answer begins (at least one token stands before it).
    `ends`: the answer is looked at up to each of these places; where one is `start`, nothing has been written yet."""

    ids: tuple[int, ...]
    start: int
    ends: tuple[int, ...]


@dataclass(frozen=True)
class Pooled:
    """last, mean: [M, D], a row for each end of each sequence in order: the state at the last token, and the mean over
    the answer's tokens (the prompt's last token where there is none)."""

    last_MD: States
    mean_MD: States

    def pooled(self, how: str) -> NDArray[np.float64]:
        """[M, D] as one of `POOLINGS`."""
        return {"last": self.last_MD, "mean": self.mean_MD}[how].astype(np.float64)


@dataclass(frozen=True)
class Looked:
    """States after each of the layers asked for; tokens computed, what several sequences begin with counted once; and
    the arithmetic of that."""

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
    """The states after `layers` blocks (the model's own number of them: after the last norm). What sequences begin with
    in common is computed once. `progress` hears (sequences done, sequences in all)."""
    width, config = loaded.model.config.width, loaded.model.config
    first_row = np.concatenate([[0], np.cumsum([len(each.ends) for each in written])]).astype(np.int64)
    found = {layer: Pooled(*(np.empty((first_row[-1], width), np.float32) for _ in "lm")) for layer in layers}
    tokens, cost, done = 0, 0.0, 0
    for places in passes([each.ids for each in written], pass_tokens):
        batch = [written[place] for place in places]
        tree = TokenTrie([each.ids for each in batch], loaded.model.device)
        states = loaded.model.states(tree.ids_N, tree.positions_N, tree, set(layers))
        for layer, state_ND in states.items():
            state = state_ND.float().cpu().numpy()
            for place, each, path in zip(places, batch, tree.places, strict=True):
                for row, end in enumerate(each.ends, start=first_row[place]):
                    answer = path[each.start : end] if end > each.start else path[each.start - 1 : each.start]
                    found[layer].last_MD[row] = state[answer[-1]]
                    found[layer].mean_MD[row] = state[answer].mean(0)
        tokens += tree.tokens
        cost += sum(state_flops(config, run.length, run.start, max(layers)) for run in tree.runs)
        done += len(places)
        if progress is not None:
            progress(done, len(written))
    return Looked(found, tokens, cost)
