"""Token runs that share beginnings, each computed once, packed flat: the attention context of training and of prompts.

Every token attends to itself and to all tokens on the path from the root to it, so the result equals computing each
root-to-leaf sequence apart, gradients included, at the cost of the distinct tokens only. `TokenTrie` finds what any
sequences share; `TokenTree` takes levels of runs that the caller knows.
"""

from __future__ import annotations

from collections.abc import Sequence

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
        self.recorded: list[tuple[Tensor, Tensor]] | None = None
        self._layout = Layout(runs, self.device)

    @property
    def tokens(self) -> int:
        return int(self.ids_N.numel())

    def record(self) -> None:
        """Keep every layer's keys and values (flat), for a cache to be filled from."""
        self.recorded = []

    def attend(self, layer: int, q_NHE: Tensor, k_NGE: Tensor, v_NGE: Tensor, window: int | None) -> Tensor:
        """See `AttentionContext.attend`."""
        if self.recorded is not None:
            self.recorded.append((k_NGE, v_NGE))
        return attend(q_NHE, k_NGE, v_NGE, self._layout, window)


class TokenTree(PackedTokens):
    """Levels of runs with parents: `levels[l][r]` goes on where run `parents[l][r]` of the level above ends."""

    def __init__(
        self,
        levels: Sequence[Sequence[Sequence[int]]],
        parents: Sequence[Sequence[int]],
        device: torch.device | str = "cpu",
    ) -> None:
        """`levels[l][r]` are token ids; `parents[l][r]` names the run of level l-1 above it (`parents[0]` unused).

        Raises ValueError for an empty run: it would have nothing to attend to.
        """
        self._runs: list[list[Run]] = []
        first = 0
        for depth, runs in enumerate(levels):
            if not runs:
                raise ValueError("every level needs at least one run, and every run at least one token")
            level = []
            for r, run in enumerate(runs):
                above = self._runs[-1][parents[depth][r]].path if depth else np.empty(0, dtype=np.int64)
                own = np.arange(first, first + len(run))
                level.append(Run(first, len(run), np.concatenate((above, own))))
                first += len(run)
            self._runs.append(level)
        ids = [i for level in levels for run in level for i in run]
        super().__init__(ids, [run for level in self._runs for run in level], device)

    def level_slice(self, depth: int) -> slice:
        """Where the tokens of one level stand among the flat ones."""
        runs = self._runs[depth]
        return slice(runs[0].first, runs[-1].first + runs[-1].length)

    @property
    def depth(self) -> int:
        return len(self._runs)

    def places(self, depth: int) -> list[np.ndarray]:
        """For each run of a level, the flat indices of all tokens from the root to the run's end."""
        return [run.path for run in self._runs[depth]]


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


def shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many leading tokens all prompts share, leaving each at least one token of its own."""
    if not prompts:
        return 0
    shortest = min(len(prompt) for prompt in prompts)
    first = prompts[0]
    length = 0
    while length < shortest - 1 and all(prompt[length] == first[length] for prompt in prompts):
        length += 1
    return length


def prompt_tree(prompts: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> TokenTree:
    """The tree common prefix -> rest of each prompt; the prefix level is left out when the prompts share nothing."""
    shared = shared_prefix(prompts)
    levels: list[list[Sequence[int]]] = [[prompts[0][:shared]]] if shared else []
    parents: list[list[int]] = [[0]] if shared else []
    levels.append([prompt[shared:] for prompt in prompts])
    parents.append([0] * len(prompts))
    return TokenTree(levels, parents, device)
