"""What the sampler needs of each row of logits, in one native pass."""

from __future__ import annotations

import torch
from torch import Tensor

from whetstone.engine.native.build import load, reason

SPAN = 256  # tokens of a vocabulary block


def block_sums(logits_MV: Tensor, temperature: float = 1.0, threads: int | None = None) -> tuple[Tensor, Tensor]:
    """Largest of logits / temperature [M] (fp32), and the sums of exp(logit / temperature - largest) over blocks of
    256 tokens [M, K] (fp64). A row's result does not depend on the others, nor on the number of threads.

    Raises:
        ValueError: not an fp32 matrix on the CPU, a temperature that is not positive, or there is no kernel.
    """
    library = load()
    if library is None:
        raise ValueError(f"there is no CPU kernel: {reason()}")
    if logits_MV.dtype != torch.float32 or logits_MV.device.type != "cpu" or logits_MV.ndim != 2:
        raise ValueError("block_sums takes an fp32 matrix on the CPU")
    if not temperature > 0:
        raise ValueError(f"the temperature must be positive, not {temperature}")
    if logits_MV.stride(1) != 1:
        logits_MV = logits_MV.contiguous()
    rows, vocab = logits_MV.shape
    top_M = torch.empty(rows)
    sums_MK = torch.empty(rows, -(-vocab // SPAN), dtype=torch.float64)
    library.native_block_sums(
        logits_MV.data_ptr(),
        rows,
        vocab,
        logits_MV.stride(0),
        temperature,
        top_M.data_ptr(),
        sums_MK.data_ptr(),
        threads or torch.get_num_threads(),
    )
    return top_M, sums_MK
