"""A tree of token runs, each computed once: shared prefix -> prompts -> responses.

A group of answers to one prompt shares that prompt's keys and values; prompts share the chat template's opening.
Every token attends to its own run (causally) and to all its ancestors' runs, so the result equals computing each
root-to-leaf sequence apart, at the cost of the distinct tokens only. Runs of one level are padded to that level's
longest for the attention product alone; everything else in the decoder sees the flat tokens.

Shapes in names: N flat tokens, R runs of a level, T longest run of the level, S key positions, H/G/E as in the decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class _Regroup(torch.autograd.Function):
    """index_select whose backward is another index_select: exact and parallel where index_add is neither.

    `forward_index` may repeat row 0 as a stand-in for padding; `backward_index` says for each input row where its
    gradient stands in the output, and rows marked False in `used` get none.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward_index: Tensor, backward_index: Tensor, used: Tensor | None) -> Tensor:
        ctx.save_for_backward(backward_index)
        ctx.used = used
        return x.index_select(0, forward_index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (backward_index,) = ctx.saved_tensors
        out = gradient.index_select(0, backward_index)
        if ctx.used is not None:
            out = out * ctx.used.view(-1, *([1] * (out.ndim - 1)))
        return out, None, None, None


@dataclass
class _Level:
    """Runs of one depth, and where their tokens stand."""

    runs: int
    longest: int
    first: int  # flat index of the level's first token
    tokens: int
    pad_RT: Tensor  # flat index of each padded place, relative to `first`; 0 where there is none
    unpad: Tensor  # padded index (run * T + t) of each token of the level
    valid_RT: Tensor
    positions_RT: Tensor
    ancestors: list[Tensor]  # for each higher level, this level's runs' ancestor there
    masks: dict[int | None, Tensor]


class TokenTree:
    """Levels of runs with parents, packed flat; the attention context of training and of prompt processing."""

    def __init__(
        self,
        levels: Sequence[Sequence[Sequence[int]]],
        parents: Sequence[Sequence[int]],
        device: torch.device | str = "cpu",
    ) -> None:
        """`levels[l][r]` are token ids; `parents[l][r]` names the run of level l-1 above it (`parents[0]` unused).

        Raises ValueError for an empty run: it would have nothing to attend to.
        """
        self.device = torch.device(device)
        self.ids_N = torch.tensor([i for level in levels for run in level for i in run], device=self.device)
        self.recorded: list[tuple[Tensor, Tensor]] | None = None
        self._levels: list[_Level] = []
        starts: list[np.ndarray] = []
        first = 0
        for depth, runs in enumerate(levels):
            lengths = np.array([len(run) for run in runs], dtype=np.int64)
            if len(lengths) == 0 or lengths.min() == 0:
                raise ValueError("every level needs at least one run, and every run at least one token")
            parent = np.asarray(parents[depth], dtype=np.int64)
            if depth == 0:
                start = np.zeros(len(runs), dtype=np.int64)
                ancestors: list[np.ndarray] = []
            else:
                above = self._levels[depth - 1]
                start = starts[-1][parent] + above.valid_RT.sum(1).cpu().numpy()[parent]
                ancestors = [a.cpu().numpy()[parent] for a in above.ancestors] + [parent]
            self._levels.append(self._level(lengths, start, ancestors, first))
            starts.append(start)
            first += int(lengths.sum())
        self.positions_N = torch.cat([level.positions_RT[level.valid_RT] for level in self._levels])

    def _level(self, lengths: np.ndarray, start: np.ndarray, ancestors: list[np.ndarray], first: int) -> _Level:
        longest, runs = int(lengths.max()), len(lengths)
        column = np.arange(longest)
        valid = column < lengths[:, None]
        offset = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        pad = np.where(valid, offset[:, None] + column, 0)

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

        return _Level(
            runs=runs,
            longest=longest,
            first=first,
            tokens=int(lengths.sum()),
            pad_RT=tensor(pad),
            unpad=tensor(np.flatnonzero(valid)),
            valid_RT=tensor(valid),
            positions_RT=tensor(start[:, None] + column),
            ancestors=[tensor(a) for a in ancestors],
            masks={},
        )

    @property
    def tokens(self) -> int:
        return int(self.ids_N.numel())

    def level_slice(self, depth: int) -> slice:
        """Where the tokens of one level stand among the flat ones."""
        level = self._levels[depth]
        return slice(level.first, level.first + level.tokens)

    @property
    def depth(self) -> int:
        return len(self._levels)

    def places(self, depth: int) -> list[np.ndarray]:
        """For each run of a level, the flat indices of all tokens from the root to the run's end."""
        level = self._levels[depth]
        padded, valid = level.pad_RT.cpu().numpy() + level.first, level.valid_RT.cpu().numpy()
        own = [padded[run][valid[run]] for run in range(level.runs)]
        if depth == 0:
            return own
        above, parents = self.places(depth - 1), level.ancestors[-1].cpu().numpy()
        return [np.concatenate((above[parents[run]], own[run])) for run in range(level.runs)]

    def record(self) -> None:
        """Keep every layer's keys and values (flat), for a cache to be filled from."""
        self.recorded = []

    def _mask(self, level: _Level, window: int | None) -> Tensor:
        """Boolean [R, 1, T, S]: which keys (ancestors' first, then own) each query sees."""
        if window not in level.masks:
            above = [(self._levels[depth], a) for depth, a in enumerate(level.ancestors)]
            key_positions = torch.cat([up.positions_RT[a] for up, a in above] + [level.positions_RT], dim=1)
            key_valid = torch.cat([up.valid_RT[a] for up, a in above] + [level.valid_RT], dim=1)
            distance_RTS = level.positions_RT[:, :, None] - key_positions[:, None, :]
            # a padding query keeps the keys of a token at its place, so that no softmax row is empty
            mask = (distance_RTS >= 0) & key_valid[:, None, :]
            if window is not None:
                near = mask & (distance_RTS < window)
                mask = torch.where(near.any(-1, keepdim=True), near, mask)
            level.masks[window] = mask[:, None]
        return level.masks[window]

    def attend(self, layer: int, q_NHE: Tensor, k_NGE: Tensor, v_NGE: Tensor, window: int | None) -> Tensor:
        if self.recorded is not None:
            self.recorded.append((k_NGE, v_NGE))
        padded_kv: list[tuple[Tensor, Tensor]] = []
        out = []
        for level in self._levels:
            here = slice(level.first, level.first + level.tokens)
            q_RTHE, k_RTGE, v_RTGE = (self._pad(x[here], level) for x in (q_NHE, k_NGE, v_NGE))
            padded_kv.append((k_RTGE, v_RTGE))
            keys = [padded_kv[depth][0].index_select(0, a) for depth, a in enumerate(level.ancestors)]
            values = [padded_kv[depth][1].index_select(0, a) for depth, a in enumerate(level.ancestors)]
            k_RSGE = torch.cat([*keys, k_RTGE], dim=1) if keys else k_RTGE
            v_RSGE = torch.cat([*values, v_RTGE], dim=1) if values else v_RTGE
            mixed = F.scaled_dot_product_attention(
                q_RTHE.transpose(1, 2),
                k_RSGE.transpose(1, 2),
                v_RSGE.transpose(1, 2),
                attn_mask=self._mask(level, window),
                enable_gqa=q_NHE.shape[1] != k_NGE.shape[1],
            )
            out.append(self._unpad(mixed.transpose(1, 2), level))
        return torch.cat(out) if len(out) > 1 else out[0]

    @staticmethod
    def _pad(x: Tensor, level: _Level) -> Tensor:
        if level.tokens == level.runs * level.longest:
            return x.unflatten(0, (level.runs, level.longest))
        padded: Tensor = _Regroup.apply(x, level.pad_RT.flatten(), level.unpad, None)
        return padded.unflatten(0, (level.runs, level.longest))

    @staticmethod
    def _unpad(x_RTHE: Tensor, level: _Level) -> Tensor:
        if level.tokens == level.runs * level.longest:
            return x_RTHE.flatten(0, 1)
        out: Tensor = _Regroup.apply(
            x_RTHE.flatten(0, 1), level.unpad, level.pad_RT.flatten(), level.valid_RT.flatten()
        )
        return out


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


def prompt_tree(
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[Sequence[int]]] | None = None,
    device: torch.device | str = "cpu",
) -> TokenTree:
    """The tree common prefix -> rest of each prompt -> each prompt's responses.

    The prefix level is left out when the prompts share nothing; responses (`responses[p]` for prompt p) are optional.
    """
    shared = shared_prefix(prompts)
    levels: list[list[Sequence[int]]] = [[prompts[0][:shared]]] if shared else []
    parents: list[list[int]] = [[0]] if shared else []
    levels.append([prompt[shared:] for prompt in prompts])
    parents.append([0] * len(prompts))
    if responses is not None:
        levels.append([response for group in responses for response in group])
        parents.append([p for p, group in enumerate(responses) for _ in group])
    return TokenTree(levels, parents, device)
