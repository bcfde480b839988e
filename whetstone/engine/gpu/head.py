"""Logits of hidden states, three ways. fp32 is exact and the default; the others are measured by bench/gpu_engine.py.

- fp32: products of fp32 matrices, as `Decoder.logits`.
- tf32x3: the same matrices through tensor cores, each number as a sum of two TF32 ones; error near that of fp32.
- bf16: matrices rounded to bf16, fp32 sums and results; needs a narrow copy of the output matrix.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from whetstone.engine.gpu.operations import Operations
from whetstone.models.decoder import Decoder

HeadKind = Literal["fp32", "tf32x3", "bf16"]


class Head:
    """The output matrix of `model`, as `kind` has it. Raises ValueError for an unknown kind."""

    def __init__(self, model: Decoder, kind: HeadKind, operations: Operations) -> None:
        if kind not in get_args(HeadKind):
            raise ValueError(f"no head of the kind {kind!r}")
        self._model, self.kind, self._operations = model, kind, operations
        self._weight_VD = model.head_weight_VD.detach()
        dtype = torch.bfloat16 if kind == "bf16" else torch.float32
        if self._weight_VD.dtype != dtype:
            self._weight_VD = torch.empty_like(self._weight_VD, dtype=dtype)
        self.refresh()

    @property
    def bytes(self) -> int:
        """Of the matrix that a step reads."""
        return self._weight_VD.numel() * self._weight_VD.element_size()

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the model's matrix as it is now, in place."""
        if self._weight_VD.data_ptr() != self._model.head_weight_VD.data_ptr():
            self._weight_VD.copy_(self._model.head_weight_VD)

    def write(self, hidden_MD: Tensor, out_MV: Tensor) -> None:
        """fp32 logits of hidden states of any dtype, into `out_MV`."""
        if self.kind != "bf16":
            self._operations.head(hidden_MD.float(), self._weight_VD, out_MV, exact=self.kind == "fp32")
        elif hidden_MD.is_cuda:
            out_MV.copy_(torch.mm(hidden_MD.bfloat16(), self._weight_VD.t(), out_dtype=torch.float32))
        else:
            torch.mm(hidden_MD.bfloat16().float(), self._weight_VD.float().t(), out=out_MV)
