"""Whether tensors are still what they were: for everything that is derived from weights and must not grow stale."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.multiprocessing.reductions import StorageWeakRef
from torch.optim.optimizer import register_optimizer_step_post_hook


class Snapshot:
    """Remembers tensors by identity, version counter, address and a weak reference to the storage of each.

    The version tells whether one was written to in place, `addresses` whether it was given other memory, its identity
    whether another looks at the same memory in another way. A new tensor may stand at the old address with the old
    version, but not while the old storage is known alive.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        _count_optimizer_steps()
        held = list(tensors)
        self._identities = list(map(id, held))
        self._versions = [tensor._version for tensor in held]
        self.addresses = [tensor.data_ptr() for tensor in held]
        self._storages = [StorageWeakRef(tensor.untyped_storage()) for tensor in held]

    def holds(self, tensors: Iterable[Tensor]) -> bool:
        """Whether these are the same tensors, unchanged."""
        now = list(tensors)
        return (
            list(map(id, now)) == self._identities
            and [tensor._version for tensor in now] == self._versions
            and [tensor.data_ptr() for tensor in now] == self.addresses
            and not any(storage.expired() for storage in self._storages)
        )


def _count_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    changed = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    increment_version([parameter for parameter in changed if not parameter.is_inference()])


@cache
def _count_optimizer_steps() -> None:
    # the fused optimizers write to the weights without counting their versions up
    register_optimizer_step_post_hook(_count_step)
