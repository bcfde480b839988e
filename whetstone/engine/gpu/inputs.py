"""A step's numbers on the device: static buffers for captured graphs, one transfer each."""

from __future__ import annotations

import numpy as np
import torch

from whetstone.engine.gpu.operations import SPLIT, Rows
from whetstone.engine.step import BLOCK, Step

ROW_BUCKETS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
LARGEST = ROW_BUCKETS[-1]
UNIT = SPLIT // BLOCK  # blocks of a table in its smallest bucket


def row_bucket(rows: int) -> int | None:
    """The smallest bucket with that many rows; None beyond the largest."""
    return next((bucket for bucket in ROW_BUCKETS if bucket >= rows), None)


def width_bucket(blocks: int) -> int:
    """Blocks of the smallest table bucket that holds them: powers of two times SPLIT tokens."""
    return UNIT << (max(1, -(-blocks // UNIT)) - 1).bit_length()


def decodes(step: Step) -> bool:
    """Whether every branch has one row, in order."""
    return step.rows == len(step.tables_RC) and bool((step.branch_N == np.arange(step.rows)).all())


def tiles(branch_N: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut the rows into runs of one branch, at most `most` long: where each begins, and its length (int32)."""
    starts = np.flatnonzero(np.diff(branch_N, prepend=branch_N[:1] - 1))
    lengths = np.diff(starts, append=len(branch_N))
    pieces = -(-lengths // most)
    run = np.repeat(np.arange(len(starts)), pieces)
    place = np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    first_T = starts[run] + place * most
    return first_T.astype(np.int32), np.minimum(lengths[run] - place * most, most).astype(np.int32)


def packed_rows(step: Step, most: int, device: torch.device) -> Rows:
    """Any step, in fresh tensors, moved in one piece."""
    first_T, count_T = tiles(step.branch_N, most)
    pieces = [step.ids_N, step.positions_N, step.branch_N, first_T, count_T, step.tables_RC]
    flat = torch.from_numpy(np.concatenate([piece.ravel() for piece in pieces]).astype(np.int32)).to(device)
    ids_N, positions_N, branch_N, first, count, tables = flat.split([piece.size for piece in pieces])
    tables_RC = tables.view(step.tables_RC.shape)
    return Rows(ids_N, positions_N, branch_N, tables_RC, first, count, tile_rows=most, splits=1)


class DecodeInputs:
    """Static buffers that decoding steps are padded into. Every bucket is a view of the same memory.

    A padding row is token 0 at position 0 of the block `scratch`, which no branch owns: it writes there, and sees
    itself alone.
    """

    def __init__(self, longest: int, scratch: int, device: torch.device) -> None:
        """`longest`: blocks of the longest branch."""
        self._scratch, self._cuda = scratch, device.type == "cuda"
        size = LARGEST * (2 + width_bucket(longest))
        self._staged = torch.zeros(size, dtype=torch.int32, pin_memory=self._cuda)
        self._device = self._staged if not self._cuda else torch.zeros(size, dtype=torch.int32, device=device)
        self._order = torch.arange(LARGEST, dtype=torch.int32, device=device)
        self._ones = torch.ones(LARGEST, dtype=torch.int32, device=device)
        self._sent = torch.cuda.Event() if self._cuda else None

    def rows(self, count: int, width: int) -> Rows:
        """The views of a bucket: `count` rows, tables of `width` blocks."""
        ids_N, positions_N, tables = self._device[: count * (2 + width)].split([count, count, count * width])
        order_N, ones_N = self._order[:count], self._ones[:count]
        tables_RC = tables.view(count, width)
        return Rows(ids_N, positions_N, order_N, tables_RC, order_N, ones_N, tile_rows=1, splits=width // UNIT)

    def write(self, step: Step, count: int, width: int) -> None:
        """Fill the bucket with a step that decodes; what is left over becomes padding."""
        if self._sent is not None:
            self._sent.synchronize()  # the transfer of the step before may still read from here
        here = self._staged.numpy()[: count * (2 + width)]
        here[: 2 * count] = 0
        here[: step.rows] = step.ids_N
        here[count : count + step.rows] = step.positions_N
        tables_RC = here[2 * count :].reshape(count, width)
        tables_RC[:] = self._scratch
        blocks = min(width, step.tables_RC.shape[1])
        tables_RC[: step.rows, :blocks] = step.tables_RC[:, :blocks]
        if self._sent is not None:
            self._device[: len(here)].copy_(self._staged[: len(here)], non_blocking=True)
            self._sent.record()
