"""One step of the engine as arrays, and what computes it: the contract between scheduler and runners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

BLOCK = 16  # tokens per cache block


@dataclass
class Step:
    """N token rows to compute together. A row belongs to a branch; a branch's cache is a list of blocks.

    Each row sees every position of its branch up to its own. In each layer all keys and values are written before
    any row looks, so that rows of one step may read each other's.
    """

    ids_N: np.ndarray  # int64
    positions_N: np.ndarray  # int64; keys and values go to block tables_RC[branch, position // BLOCK]
    branch_N: np.ndarray  # int64: row of tables_RC
    tables_RC: np.ndarray  # int32; -1 beyond a branch's end
    wanted_M: np.ndarray  # int64: the rows whose logits are wanted

    @property
    def rows(self) -> int:
        return len(self.ids_N)


class Runner(Protocol):
    """Computes steps on the model's current weights; owns the cache blocks."""

    blocks: int

    def run(self, step: Step) -> Tensor:
        """Logits [M, V] of the wanted rows, fp32."""
        ...

    def hidden(self, step: Step) -> Tensor:
        """Hidden states [M, D] of the wanted rows after the last norm, fp32."""
        ...

    def block_sums(self, logits_MV: Tensor, scale_M: Tensor) -> tuple[Tensor, Tensor]:
        """See `sampling.BlockSums`."""
        ...

    def copy_block(self, source: int, target: int) -> None:
        """Copy one block's keys and values in all layers."""
        ...

    def refresh(self) -> bool:
        """Take over the weights as they are now, for the steps until the next call; True where they changed, so that
        cached keys and values are stale."""
        ...
