"""Which runner computes a model's steps: by device, by what is installed, by how the weights shall be kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Literal, get_args

import torch

from whetstone.engine.gpu.runner import GraphRunner
from whetstone.engine.step import Runner
from whetstone.engine.torch_runner import TorchRunner
from whetstone.errors import UsageError
from whetstone.models.decoder import Decoder

_log = logging.getLogger(__name__)

Storage = Literal["fp32", "bf16", "int8", "auto"]
MakeRunner = Callable[[Decoder, int], Runner]
_STORED = {torch.float32: "fp32", torch.bfloat16: "bf16"}


def runner_for(model: Decoder, storage: Storage = "auto") -> MakeRunner:
    """What makes the runner that suits `model` where it lies now; `Engine(model, runner=runner_for(model))`.

    storage: how the runner keeps the layers' weights. "auto" is exact: fp32 on a CPU; on a GPU always the compute
    dtype. Raises UsageError for a storage that the device does not offer.
    """
    if storage not in get_args(Storage):
        raise UsageError(f"no storage {storage!r}; choose from {', '.join(get_args(Storage))}")
    if model.device.type == "cuda":
        return _on_gpu(model, storage)
    if model.device.type == "cpu":
        return _on_cpu(model, storage)
    return TorchRunner


def _on_gpu(model: Decoder, storage: Storage) -> MakeRunner:
    kept = _STORED.get(model.compute_dtype, str(model.compute_dtype))
    if storage not in ("auto", kept):
        raise UsageError(f"on a GPU the weights are kept as they are computed with, in {kept}, not in {storage}")
    return GraphRunner


def _on_cpu(model: Decoder, storage: Storage) -> MakeRunner:
    """The C++ kernel where it can compute the model, else torch."""
    native = _native()
    reason = "this version has none" if native is None else native.supported(model)
    if native is not None and reason is None:
        return partial(native.NativeRunner, storage="fp32" if storage == "auto" else storage)
    kept = "" if storage in ("auto", "fp32") else f"; weights stay in fp32, not in {storage}"
    _log.info("no native kernel (%s), torch computes%s", reason, kept)
    return TorchRunner


def _native() -> ModuleType | None:
    try:
        return import_module("whetstone.engine.native")
    except ModuleNotFoundError as error:
        if error.name != "whetstone.engine.native":
            raise
        return None
