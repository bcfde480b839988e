"""What the engine asks of the part that computes: one step of token rows against a paged key-value cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

BLOCK = 16  # tokens per cache block


@dataclass
class Step:
    """N token rows to compute together. A row belongs to a branch; a branch's cache is a list of blocks."""

    ids_N: np.ndarray  # int64
    # int64; the row's keys/values are written at block tables_RC[branch, position // BLOCK], place position % BLOCK
    positions_N: np.ndarray
    branch_N: np.ndarray  # int64: row of tables_RC
    tables_RC: np.ndarray  # int32 [branches, most blocks]; -1 beyond a branch's end
    wanted_M: np.ndarray  # int64 indices into rows whose logits are wanted


class Runner(Protocol):
    """Computes steps. In every layer all rows' keys and values are written before any row attends."""

    blocks: int  # how many cache blocks there are

    def run(self, step: Step) -> Tensor:
        """fp32 logits [M, V] of the wanted rows."""
        ...

    def hidden(self, step: Step) -> Tensor:
        """fp32 hidden states after the last norm [M, D] of the wanted rows."""
        ...

    def copy_block(self, source: int, target: int) -> None:
        """Copy one block's keys and values in all layers (copy-on-write)."""
        ...
