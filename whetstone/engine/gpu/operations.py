"""What a decoding step is made of, besides matrix products: one interface, here in plain torch.

`TorchOperations` is the reference for the Triton kernels, what the tests run on a CPU, and the fallback on a GPU
without Triton. Shapes as in `kernels`; D width, F = (H + 2 G) E the joined queries, keys and values, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from whetstone.engine import sampling
from whetstone.engine.step import BLOCK
from whetstone.models.fused import rotate

SPLIT = 256  # tokens of context that one program goes through while decoding; fixed, so results do not depend on it


@dataclass(frozen=True)
class Rows:
    """A step on the device, all int32. A tile is a run of at most `tile_rows` rows of one branch."""

    ids_N: Tensor
    positions_N: Tensor
    branch_N: Tensor  # row of tables_RC
    tables_RC: Tensor
    first_T: Tensor
    count_T: Tensor
    tile_rows: int
    splits: int  # pieces of SPLIT tokens of the longest context; 1: the context in one piece

    def slots_N(self) -> Tensor:
        """Where each row's key and value go, as places of the cache."""
        positions_N = self.positions_N.long()
        blocks_N = self.tables_RC[self.branch_N.long(), positions_N // BLOCK].long()
        return blocks_N * BLOCK + positions_N % BLOCK


class Operations(Protocol):
    """`keys` and `values` are one layer's cache [slots, G, E]."""

    tiled: bool  # whether `attend` is meant for prompts too

    def attend(self, q_NHE: Tensor, keys: Tensor, values: Tensor, rows: Rows, window: int | None) -> Tensor:
        """Softmax attention over what each row sees, scale E**-0.5; [N, H, E]."""
        ...

    def rotate_and_store(
        self,
        qkv_NF: Tensor,
        cos_NE: Tensor,
        sin_NE: Tensor,
        norms: tuple[Tensor, Tensor] | None,
        eps: float,
        keys: Tensor,
        values: Tensor,
        rows: Rows,
    ) -> Tensor:
        """Turned queries [N, H, E]; turned keys and values go to the cache. `norms`: per-head weights for q and k."""
        ...

    def norm(self, x_ND: Tensor, delta_ND: Tensor | None, weight_D: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """(x + delta, its RMS norm), in the dtype of x."""
        ...

    def glu(self, gate_up_NC: Tensor) -> Tensor:
        """silu(first half) * second half."""
        ...

    def linear(self, x_ND: Tensor, weight_OD: Tensor, bias_O: Tensor | None) -> Tensor:
        """x W^T + b in the dtype of x."""
        ...

    def head(self, hidden_MD: Tensor, weight_VD: Tensor, out_MV: Tensor, exact: bool) -> None:
        """hidden W^T of fp32 matrices into `out_MV`; unless `exact` TF32 times three will do."""
        ...

    def block_sums(self, logits_MV: Tensor, scale_M: Tensor) -> tuple[Tensor, Tensor]:
        """See `sampling.BlockSums`."""
        ...


class TorchOperations:
    """See `Operations`. `attend` gathers each row's whole context: fine for one row a branch, wasteful for prompts."""

    tiled = False

    def attend(self, q_NHE: Tensor, keys: Tensor, values: Tensor, rows: Rows, window: int | None) -> Tensor:
        positions_N1 = rows.positions_N.long()[:, None]
        columns = torch.arange(rows.tables_RC.shape[1] * BLOCK, device=q_NHE.device)
        # beyond a row's end its own token stands in: memory never written may hold NaN, which no mask takes away
        columns_NC = torch.minimum(columns, positions_N1)
        blocks_NC = rows.tables_RC[rows.branch_N.long()].gather(1, columns_NC // BLOCK).long()
        slots_NC = blocks_NC * BLOCK + columns_NC % BLOCK
        seen_NC = columns <= positions_N1
        if window is not None:
            seen_NC = seen_NC & (positions_N1 - columns < window)
        k_NGCE, v_NGCE = (pool[slots_NC].transpose(1, 2) for pool in (keys, values))
        q_NGQE = q_NHE.unflatten(1, (keys.shape[1], -1))
        return F.scaled_dot_product_attention(q_NGQE, k_NGCE, v_NGCE, attn_mask=seen_NC[:, None, None]).flatten(1, 2)

    def rotate_and_store(
        self,
        qkv_NF: Tensor,
        cos_NE: Tensor,
        sin_NE: Tensor,
        norms: tuple[Tensor, Tensor] | None,
        eps: float,
        keys: Tensor,
        values: Tensor,
        rows: Rows,
    ) -> Tensor:
        kv_heads, head_dim = keys.shape[1:]
        heads = qkv_NF.shape[1] // head_dim - 2 * kv_heads
        q_NHE, k_NGE, v_NGE = qkv_NF.unflatten(1, (-1, head_dim)).split((heads, kv_heads, kv_heads), dim=1)
        if norms is not None:
            q_NHE, k_NGE = (self.norm(x, None, weight, eps)[1] for x, weight in zip((q_NHE, k_NGE), norms, strict=True))
        slots_N = rows.slots_N()
        keys[slots_N] = rotate(k_NGE, cos_NE, sin_NE)
        values[slots_N] = v_NGE
        return rotate(q_NHE, cos_NE, sin_NE)

    def norm(self, x_ND: Tensor, delta_ND: Tensor | None, weight_D: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        x_ND = x_ND if delta_ND is None else x_ND + delta_ND
        wide = x_ND.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
        return x_ND, (wide * scale * weight_D).to(x_ND.dtype)

    def glu(self, gate_up_NC: Tensor) -> Tensor:
        gate_NC, up_NC = gate_up_NC.chunk(2, dim=-1)
        return F.silu(gate_NC) * up_NC

    def linear(self, x_ND: Tensor, weight_OD: Tensor, bias_O: Tensor | None) -> Tensor:
        return F.linear(x_ND, weight_OD, bias_O)

    def head(self, hidden_MD: Tensor, weight_VD: Tensor, out_MV: Tensor, exact: bool) -> None:
        torch.mm(hidden_MD, weight_VD.t(), out=out_MV)

    def block_sums(self, logits_MV: Tensor, scale_M: Tensor) -> tuple[Tensor, Tensor]:
        return sampling.block_sums(logits_MV, scale_M)
