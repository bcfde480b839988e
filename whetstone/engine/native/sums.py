"""What the sampler needs of each row of logits, in one native pass."""

from __future__ import annotations

import torch
from torch import Tensor

from whetstone.engine.native.build import load, reason
from whetstone.engine.sampling import SPAN


def block_sums(logits_MV: Tensor, scale_M: Tensor, threads: int | None = None) -> tuple[Tensor, Tensor]:
    """The largest logit [M] (fp32), and the sums of exp((logit - largest) * scale) over blocks of 256 tokens [M, K]
    (fp64). A row's result does not depend on the others, nor on the number of threads.

    Raises:
        ValueError: not an fp32 matrix on the CPU, as many scales as rows are missing, or there is no kernel.
    """
    library = load()
    if library is None:
        raise ValueError(f"there is no CPU kernel: {reason()}")
    for each, dimensions in ((logits_MV, 2), (scale_M, 1)):
        if each.dtype != torch.float32 or each.device.type != "cpu" or each.ndim != dimensions:
            raise ValueError("block_sums takes an fp32 matrix on the CPU, and an fp32 scale for each row")
    if len(scale_M) != len(logits_MV):
        raise ValueError(f"{len(scale_M)} scales for {len(logits_MV)} rows")
    if logits_MV.stride(1) != 1:
        logits_MV = logits_MV.contiguous()
    scale_M = scale_M.contiguous()
    rows, vocab = logits_MV.shape
    top_M = torch.empty(rows)
    sums_MK = torch.empty(rows, -(-vocab // SPAN), dtype=torch.float64)
    library.native_block_sums(
        logits_MV.data_ptr(),
        rows,
        vocab,
        logits_MV.stride(0),
        scale_M.data_ptr(),
        top_M.data_ptr(),
        sums_MK.data_ptr(),
        threads or torch.get_num_threads(),
    )
    return top_M, sums_MK
