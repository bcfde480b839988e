"""Steps in plain torch, on any device: the fallback where there is no CPU kernel, and what the GPU's runner builds on.

The cache is one pool of blocks for each layer. Attention gathers each branch's keys and values; branches with a single
row (decoding) go together, those with several (a chunk of a prompt) one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from whetstone.engine.sampling import block_sums
from whetstone.engine.step import BLOCK, Step
from whetstone.models.decoder import Decoder, Linear
from whetstone.models.snapshot import Snapshot


class TorchRunner:
    """See `Runner`. Samples from the very tensors of `model`; where they are wider than its compute dtype, from a
    narrow copy that is renewed when they change."""

    def __init__(self, model: Decoder, blocks: int) -> None:
        self.model, self.blocks = model, blocks
        config = model.config
        shape = (config.layers, blocks * BLOCK, config.kv_heads, config.head_dim)
        # on a CPU, memory is touched, and so taken, only where blocks are used
        self._keys, self._values = (torch.empty(shape, dtype=model.compute_dtype, device=model.device) for _ in "kv")
        self._seen: Snapshot | None = None
        self._narrow: list[tuple[Linear, Tensor]] = []

    def run(self, step: Step) -> Tensor:
        return self.model.logits(self.hidden(step))

    def hidden(self, step: Step) -> Tensor:
        device = self.model.device
        context = PagedContext(self._keys, self._values, step, device)
        ids_N, positions_N = torch.from_numpy(step.ids_N).to(device), torch.from_numpy(step.positions_N).to(device)
        with self._narrowed():
            hidden_ND = self.model(ids_N, positions_N, context)
        return hidden_ND[torch.from_numpy(step.wanted_M).to(device)].float()

    def block_sums(self, logits_MV: Tensor, scale_M: Tensor) -> tuple[Tensor, Tensor]:
        return block_sums(logits_MV, scale_M)

    def copy_block(self, source: int, target: int) -> None:
        here, there = (slice(block * BLOCK, (block + 1) * BLOCK) for block in (source, target))
        for pool in (self._keys, self._values):
            pool[:, there] = pool[:, here]

    def refresh(self) -> bool:
        if self._seen is not None and self._seen.holds(self.model.parameters()):
            return False
        self._seen = Snapshot(self.model.parameters())
        self._narrow = self._narrow_copies()
        return True

    def _narrow_copies(self) -> list[tuple[Linear, Tensor]]:
        dtype = self.model.compute_dtype
        linears = [module for module in self.model.layers.modules() if isinstance(module, Linear)]
        return [(each, each.weight.detach().to(dtype)) for each in linears if each.weight.dtype != dtype]

    @contextmanager
    def _narrowed(self) -> Iterator[None]:
        try:
            for linear, narrow in self._narrow:
                linear.narrow = narrow
            yield
        finally:
            for linear, _ in self._narrow:
                linear.narrow = None


class PagedContext:
    """The attention context of a step. R branches, C columns (positions of the longest), T rows of one branch."""

    def __init__(self, keys: Tensor, values: Tensor, step: Step, device: torch.device) -> None:
        self._keys, self._values = keys, values
        slots = step.tables_RC[step.branch_N, step.positions_N // BLOCK].astype(np.int64) * BLOCK
        self._slots_N = torch.from_numpy(slots + step.positions_N % BLOCK).to(device)
        order = np.argsort(step.branch_N, kind="stable")
        counts = np.bincount(step.branch_N, minlength=len(step.tables_RC))
        ends = np.cumsum(counts)
        singles = np.flatnonzero(counts == 1)
        self._groups = []
        if len(singles):
            self._groups.append(_Group(step, singles, order[ends[singles] - 1], device))
        for branch in np.flatnonzero(counts > 1):
            rows = order[ends[branch] - counts[branch] : ends[branch]]
            self._groups.append(_Group(step, np.array([branch]), rows, device))
        self._whole = len(self._groups) == 1 and bool((self._groups[0].rows == np.arange(step.rows)).all())

    def attend(self, layer: int, q_NHE: Tensor, k_NGE: Tensor, v_NGE: Tensor, window: int | None) -> Tensor:
        keys, values = self._keys[layer], self._values[layer]
        keys[self._slots_N] = k_NGE
        values[self._slots_N] = v_NGE
        if self._whole:
            return self._groups[0].attend(q_NHE, keys, values, window)
        out = torch.empty_like(q_NHE)
        for group in self._groups:
            out[group.rows_T] = group.attend(q_NHE[group.rows_T], keys, values, window)
        return out


class _Group:
    """Either many branches of one row each, or one branch of many rows."""

    def __init__(self, step: Step, branches: np.ndarray, rows: np.ndarray, device: torch.device) -> None:
        self.rows = rows
        positions = step.positions_N[rows]
        columns = np.arange(int(positions.max()) + 1)
        # beyond a branch's end its last token stands in: memory never written may hold NaN, which no mask takes away
        last_R = positions if len(branches) == len(rows) else positions.max(keepdims=True)
        columns_RC = np.minimum(columns, last_R[:, None])
        blocks_RC = np.take_along_axis(step.tables_RC[branches], columns_RC // BLOCK, axis=1).astype(np.int64)
        self.rows_T = torch.from_numpy(rows).to(device)
        self._slots_RC = torch.from_numpy(blocks_RC * BLOCK + columns_RC % BLOCK).to(device)
        self._positions_T = torch.from_numpy(positions).to(device)
        self._columns = torch.from_numpy(columns).to(device)
        self._single = len(branches) == len(rows)
        self._masks: dict[int | None, Tensor] = {}

    def _mask(self, window: int | None) -> Tensor:
        """[T, C]: which columns each row sees."""
        if window not in self._masks:
            distance_TC = self._positions_T[:, None] - self._columns
            seen_TC = distance_TC >= 0
            self._masks[window] = seen_TC if window is None else seen_TC & (distance_TC < window)
        return self._masks[window]

    def attend(self, q_THE: Tensor, keys: Tensor, values: Tensor, window: int | None) -> Tensor:
        k_RGCE, v_RGCE = (pool[self._slots_RC].transpose(1, 2) for pool in (keys, values))
        heads = k_RGCE.shape[1]
        mask_TC = self._mask(window)
        if self._single:
            # the query heads that share a key head are laid out as that head's queries: no copies of keys or values
            q_RGQE = q_THE.unflatten(1, (heads, -1))
            return F.scaled_dot_product_attention(q_RGQE, k_RGCE, v_RGCE, attn_mask=mask_TC[:, None, None]).flatten(
                1, 2
            )
        q_RHTE = q_THE.transpose(0, 1)[None]
        mixed = F.scaled_dot_product_attention(
            q_RHTE, k_RGCE, v_RGCE, attn_mask=mask_TC[None, None], enable_gqa=q_THE.shape[1] != heads
        )
        return mixed[0].transpose(0, 1)
