"""The deterministic switch of a GPU: two training steps from the same state end in the same bits (law 6).

On the CPU the operations used here give the same bits for the same number of threads, and there is nothing to switch.
On a GPU several add with atomics, in an order that varies, unless torch is told otherwise. The trainer tells it so for
the length of a step: outside, the engine samples with a cumulative sum, which torch refuses to run under the switch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# cuBLAS reads this at its first product of the process, so it must stand before there is one: hence at import.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

memory: Any = torch.utils.deterministic  # its switch is a property that type checkers do not see


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Within the block, operations on a CUDA `device` are deterministic, and RuntimeError is raised by one that has
    no deterministic form. Does nothing for any other device. The former settings come back at the end."""
    if device.type != "cuda":
        yield
        return
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = memory.fill_uninitialized_memory
    cudnn = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        torch.use_deterministic_algorithms(True)
        # filling fresh memory only helps code that reads what nobody wrote
        memory.fill_uninitialized_memory = False
        # the backward pass of cuDNN's attention is not deterministic; the other kernels have a form that is
        torch.backends.cuda.enable_cudnn_sdp(False)
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        memory.fill_uninitialized_memory = fill
        torch.backends.cuda.enable_cudnn_sdp(cudnn)
