"""Key-value cache of a decoding batch: rows of equal width, right-aligned, so that a step writes one column.

Row b's tokens stand in columns [start_b, column). Prompts of unlike length end in the same column; the columns before
`start_b` are masked. Shapes: B rows, C columns, G key-value heads, H query heads, E head size.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from whetstone.models.config import ModelConfig
from whetstone.models.packing import TokenTree


class DecodingCache:
    """The attention context of decoding: each query sees its row's columns, its own included."""

    def __init__(self, config: ModelConfig, tree: TokenTree, places_BC: np.ndarray, lengths_B: np.ndarray, room: int):
        """Fill from `tree.recorded`. `places_BC[b, c]` is the flat token that stands in column c of row b (right-
        aligned; anything before the row's start), `lengths_B` the prompts' lengths, `room` the columns to come."""
        assert tree.recorded is not None
        device = tree.device
        rows, self.column = places_BC.shape
        places = torch.from_numpy(places_BC.reshape(-1)).to(device)
        self.lengths_B = torch.from_numpy(lengths_B).to(device)
        self._layers: list[tuple[Tensor, Tensor]] = []
        for k_NGE, v_NGE in tree.recorded:
            pair = []
            for x_NGE in (k_NGE, v_NGE):
                shape = (rows, config.kv_heads, self.column + room, config.head_dim)
                block_BGCE = x_NGE.new_empty(shape)
                prompt_BCGE = x_NGE.index_select(0, places).unflatten(0, (rows, self.column))
                block_BGCE[:, :, : self.column] = prompt_BCGE.transpose(1, 2)
                pair.append(block_BGCE)
            self._layers.append((pair[0], pair[1]))
        self._columns = torch.arange(self.column + room, device=device)
        self._start_B = self.column - self.lengths_B
        self._masks: dict[int | None, Tensor] = {}

    @property
    def positions_B(self) -> Tensor:
        """The position of the token that the next forward pass appends to each row."""
        return self.column - self._start_B

    def advance(self) -> None:
        """The forward pass is over: its column now belongs to the past."""
        self.column += 1
        self._masks.clear()

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these (indices)."""
        self._layers = [(k.index_select(0, rows), v.index_select(0, rows)) for k, v in self._layers]
        self._start_B = self._start_B.index_select(0, rows)
        self._masks.clear()

    def _mask(self, window: int | None) -> Tensor:
        if window not in self._masks:
            columns = self._columns[: self.column + 1]
            mask = columns >= self._start_B[:, None]
            if window is not None:
                mask = mask & (columns > self.column - window)
            self._masks[window] = mask[:, None, None]
        return self._masks[window]

    def attend(self, layer: int, q_BHE: Tensor, k_BGE: Tensor, v_BGE: Tensor, window: int | None) -> Tensor:
        k_BGCE, v_BGCE = self._layers[layer]
        k_BGCE[:, :, self.column] = k_BGE
        v_BGCE[:, :, self.column] = v_BGE
        # the query heads that share a key head are laid out as that head's queries: no copies of keys or values
        q_BGQE = q_BHE.unflatten(1, (k_BGE.shape[1], -1))
        seen = slice(0, self.column + 1)
        mixed = F.scaled_dot_product_attention(
            q_BGQE, k_BGCE[:, :, seen], v_BGCE[:, :, seen], attn_mask=self._mask(window)
        )
        return mixed.flatten(1, 2)
