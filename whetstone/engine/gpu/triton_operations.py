"""`Operations` by the Triton kernels. Import it only where `available()`."""

from __future__ import annotations

import math
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from whetstone.engine.gpu.operations import SPLIT, Operations, Rows, TorchOperations
from whetstone.engine.sampling import SPAN
from whetstone.engine.step import BLOCK

# Positions of context that a program takes at once, and queries of a tile of a prompt. Exact fp32 products keep all in
# registers: as many as of bf16 would spill to memory.
COLUMNS, WIDE_COLUMNS = 64, 32
MOST_QUERIES, MOST_WIDE_QUERIES = 64, 16
FEWEST_QUERIES = 16  # what a product of Triton needs


def operations_for(device: torch.device) -> Operations:
    """The kernels on a CUDA device where Triton is installed, plain torch elsewhere."""
    if device.type == "cuda" and find_spec("triton") is not None:
        return TritonOperations()
    return TorchOperations()


def tile_rows(heads: int, kv_heads: int, dtype: torch.dtype) -> int:
    """Rows of a prompt that go through attention together."""
    most = MOST_WIDE_QUERIES if dtype == torch.float32 else MOST_QUERIES
    return max(1, most // (heads // kv_heads))


def columns(dtype: torch.dtype) -> int:
    """Positions of context that a program of attention takes at once."""
    return WIDE_COLUMNS if dtype == torch.float32 else COLUMNS


class TritonOperations:
    """See `Operations`. Every tensor must be contiguous."""

    tiled = True

    def __init__(self) -> None:
        from whetstone.engine.gpu import kernels

        self._kernels = kernels

    def attend(self, q_NHE: Tensor, keys: Tensor, values: Tensor, rows: Rows, window: int | None) -> Tensor:
        count, heads, head_dim = q_NHE.shape
        kv_heads, shares = keys.shape[1], rows.splits
        group = heads // kv_heads
        out_NHE = torch.empty_like(q_NHE)
        partial, largest, total = out_NHE, out_NHE, out_NHE  # untouched unless there are several shares
        if shares > 1:
            partial = q_NHE.new_empty((count, heads, shares, head_dim), dtype=torch.float32)
            largest, total = (q_NHE.new_empty((count, heads, shares), dtype=torch.float32) for _ in "mt")
        self._kernels.attend_kernel[(len(rows.first_T), kv_heads, shares)](
            q_NHE,
            keys,
            values,
            rows.positions_N,
            rows.branch_N,
            rows.tables_RC,
            rows.first_T,
            rows.count_T,
            out_NHE,
            partial,
            largest,
            total,
            rows.tables_RC.shape[1],
            SPLIT if shares > 1 else rows.tables_RC.shape[1] * BLOCK,
            0 if window is None else window,
            head_dim**-0.5 * math.log2(math.e),
            G=kv_heads,
            GROUP=group,
            E=head_dim,
            E_PADDED=max(16, _power(head_dim)),
            M=max(FEWEST_QUERIES, _power(rows.tile_rows * group)),
            TILE_ROWS=rows.tile_rows,
            COLUMNS=columns(q_NHE.dtype),
            BLOCK=BLOCK,
            WINDOWED=window is not None,
            SPLIT=shares > 1,
            num_warps=4,
        )
        if shares > 1:
            self._kernels.combine_kernel[(count * heads,)](
                partial, largest, total, out_NHE, shares, E=head_dim, E_PADDED=_power(head_dim), AT_ONCE=16, num_warps=1
            )
        return out_NHE

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
        joined = qkv_NF.shape[1] // head_dim
        heads = joined - 2 * kv_heads
        q_NHE = qkv_NF.new_empty((len(qkv_NF), heads, head_dim))
        q_weight_E, k_weight_E = (cos_NE, cos_NE) if norms is None else norms
        self._kernels.rotate_kernel[(len(qkv_NF), joined)](
            qkv_NF,
            cos_NE,
            sin_NE,
            q_weight_E,
            k_weight_E,
            rows.positions_N,
            rows.branch_N,
            rows.tables_RC,
            q_NHE,
            keys,
            values,
            rows.tables_RC.shape[1],
            eps,
            H=heads,
            G=kv_heads,
            E=head_dim,
            HALF_PADDED=_power(head_dim // 2),
            BLOCK=BLOCK,
            NORMED=norms is not None,
            num_warps=1,
        )
        return q_NHE

    def norm(self, x_ND: Tensor, delta_ND: Tensor | None, weight_D: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        count, width = x_ND.shape
        out_ND = torch.empty_like(x_ND)
        sum_ND = x_ND if delta_ND is None else torch.empty_like(x_ND)
        self._kernels.norm_kernel[(count,)](
            x_ND,
            x_ND if delta_ND is None else delta_ND,
            weight_D,
            sum_ND,
            out_ND,
            eps,
            D=width,
            D_PADDED=_power(width),
            ADDS=delta_ND is not None,
            num_warps=4 if width <= 4096 else 8,
        )
        return sum_ND, out_ND

    def glu(self, gate_up_NC: Tensor) -> Tensor:
        count, channels = gate_up_NC.shape[0], gate_up_NC.shape[1] // 2
        out_NC = gate_up_NC.new_empty((count, channels))
        self._kernels.glu_kernel[(count, -(-channels // 1024))](gate_up_NC, out_NC, channels, AT_ONCE=1024, num_warps=4)
        return out_NC

    def linear(self, x_ND: Tensor, weight_OD: Tensor, bias_O: Tensor | None) -> Tensor:
        if len(x_ND) > 1:
            return F.linear(x_ND, weight_OD, bias_O)
        out_1O = x_ND.new_empty((1, len(weight_OD)))
        self.vector(x_ND, weight_OD, bias_O, out_1O)
        return out_1O

    def vector(self, x_1D: Tensor, weight_OD: Tensor, bias_O: Tensor | None, out_1O: Tensor) -> None:
        """W x + b of a single x into `out_1O`."""
        outputs, width = weight_OD.shape
        rows = 4
        self._kernels.vector_kernel[(-(-outputs // rows),)](
            x_1D,
            weight_OD,
            x_1D if bias_O is None else bias_O,
            out_1O,
            width,
            outputs,
            BIASED=bias_O is not None,
            ROWS=rows,
            COLUMNS=min(1024, _power(width)),
            num_warps=4,
        )

    def head(self, hidden_MD: Tensor, weight_VD: Tensor, out_MV: Tensor, exact: bool) -> None:
        if len(hidden_MD) == 1:
            self.vector(hidden_MD, weight_VD, None, out_MV)
            return
        if exact:
            torch.mm(hidden_MD, weight_VD.t(), out=out_MV)
            return
        (count, width), words = hidden_MD.shape, len(weight_VD)
        rows = min(64, max(16, _power(count)))
        self._kernels.wide_product_kernel[(-(-words // 128), -(-count // rows))](
            hidden_MD,
            weight_VD,
            out_MV,
            count,
            width,
            words,
            ROWS=rows,
            WORDS=128,
            DEPTH=32,
            num_warps=8 if rows == 64 else 4,
            num_stages=3,
        )

    def block_sums(self, logits_MV: Tensor, scale_M: Tensor) -> tuple[Tensor, Tensor]:
        count, words = logits_MV.shape
        spans = -(-words // SPAN)
        top_M = logits_MV.amax(-1)
        sums_MK = logits_MV.new_empty((count, spans), dtype=torch.float64)
        self._kernels.sums_kernel[(count, -(-spans // 8))](
            logits_MV.contiguous(), top_M, scale_M, sums_MK, words, spans, SPAN=SPAN, AT_ONCE=8, num_warps=4
        )
        return top_M, sums_MK


def _power(number: int) -> int:
    """The next power of two."""
    return 1 << (number - 1).bit_length()
