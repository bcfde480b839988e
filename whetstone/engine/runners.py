"""Which runner computes a model's steps: by device, by what is installed, by how the weights shall be kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import cast

import torch

from whetstone.engine.gpu.runner import GraphRunner
from whetstone.engine.native import NativeRunner, supported
from whetstone.engine.native.packed import StorageKind
from whetstone.engine.step import Runner
from whetstone.engine.torch_runner import TorchRunner
from whetstone.errors import UsageError
from whetstone.models.decoder import Decoder

_log = logging.getLogger(__name__)

STORAGES = ("fp32", "bf16", "int8", "auto")
MakeRunner = Callable[[Decoder, int], Runner]
_STORED = {torch.float32: "fp32", torch.bfloat16: "bf16"}


def runner_for(model: Decoder, storage: str = "auto") -> MakeRunner:
    """What makes the runner that suits `model` where it lies now.

    storage: how the runner keeps the linear weights. "auto" is exact: fp32 on a CPU; on a GPU always the compute
    dtype. Raises UsageError for a storage that cannot be had here.
    """
    if storage not in STORAGES:
        raise UsageError(f"no storage {storage!r}; choose from {', '.join(STORAGES)}")
    if model.device.type == "cuda":
        kept = _STORED.get(model.compute_dtype, str(model.compute_dtype))
        if storage not in ("auto", kept):
            raise UsageError(f"on a GPU the weights are kept as they are computed with, in {kept}, not in {storage}")
        return GraphRunner
    reason = supported(model)
    if reason is None:
        return partial(NativeRunner, storage=cast(StorageKind, "fp32" if storage == "auto" else storage))
    if storage in ("bf16", "int8"):
        raise UsageError(f"weights cannot be kept in {storage} here: {reason}")
    _log.info("torch computes, for %s", reason)
    return TorchRunner
