"""Token runs that share beginnings, each computed once, packed flat: the attention context of training.

Every token attends to itself and to all tokens on the path from the root to it, so the result equals computing each
sequence apart, gradients included, at the cost of the distinct tokens only. `TokenTrie` finds what sequences share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from whetstone.models.tree_attention import Layout, Run, attend


class PackedTokens:
    """Runs of tokens [N] in flat order, each with the path of tokens that it sees; an `AttentionContext`."""

    def __init__(self, ids: Sequence[int], runs: Sequence[Run], device: torch.device | str = "cpu") -> None:
        """`runs` cover the flat tokens in order. Raises ValueError when there is no run, or an empty one."""
        if not runs or min(run.length for run in runs) == 0:
            raise ValueError("every level needs at least one run, and every run at least one token")
        self.device = torch.device(device)
        self.ids_N = torch.tensor(ids, device=self.device)
        positions_N = np.concatenate([np.arange(run.start, len(run.path)) for run in runs])
        self.positions_N = torch.from_numpy(positions_N).to(self.device)
        self.runs = runs
        self._layout = Layout(runs, self.device)

    @property
    def tokens(self) -> int:
        return int(self.ids_N.numel())

    def attend(self, layer: int, q_NHE: Tensor, k_NGE: Tensor, v_NGE: Tensor, window: int | None) -> Tensor:
        """See `AttentionContext.attend`."""
        return attend(q_NHE, k_NGE, v_NGE, self._layout, window)


class Trie:
    """Distinct beginnings of the sequences put in so far; each is a node, numbered in order of arrival."""

    def __init__(self) -> None:
        self.ids: list[int] = []  # the last token of each node
        self._node: dict[tuple[int, int], int] = {}  # (node without its last token, that token) -> node

    def __len__(self) -> int:
        return len(self.ids)

    def missing(self, sequence: Sequence[int]) -> int:
        """How many nodes `sequence` would add."""
        node = -1
        for known, token in enumerate(sequence):
            following = self._node.get((node, token))
            if following is None:
                return len(sequence) - known
            node = following
        return 0

    def insert(self, sequence: Sequence[int]) -> np.ndarray:
        """Put `sequence` in; returns the node of each of its beginnings."""
        node, path = -1, np.empty(len(sequence), dtype=np.int64)
        for position, token in enumerate(sequence):
            node = self._node.setdefault((node, token), len(self.ids))
            if node == len(self.ids):
                self.ids.append(token)
            path[position] = node
        return path


class TokenTrie(PackedTokens):
    """Any sequences, each distinct beginning computed once. A sequence adds one run: the tokens that no earlier one
    begins with. `places[i]` are the flat indices of the tokens of `sequences[i]`."""

    def __init__(self, sequences: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> None:
        """Raises ValueError when there is no sequence, or an empty one."""
        if not sequences or min(map(len, sequences)) == 0:
            raise ValueError("there must be at least one sequence, and every sequence needs at least one token")
        trie, runs = Trie(), []
        self.places: list[np.ndarray] = []
        for sequence in sequences:
            first = len(trie)
            self.places.append(trie.insert(sequence))
            if len(trie) > first:
                runs.append(Run(first, len(trie) - first, self.places[-1]))
        super().__init__(trie.ids, runs, device)


def passes(sequences: Sequence[Sequence[int]], pass_tokens: int) -> Iterator[list[int]]:
    """Places of the sequences of each pass, so that a pass holds at most so many distinct tokens (a longer sequence
    goes alone); those that begin alike stand together."""
    batch: list[int] = []
    trie = Trie()
    for place in sorted(range(len(sequences)), key=lambda place: tuple(sequences[place])):
        if batch and len(trie) + trie.missing(sequences[place]) > pass_tokens:
            yield batch
            batch, trie = [], Trie()
        batch.append(place)
        trie.insert(sequences[place])
    if batch:
        yield batch
