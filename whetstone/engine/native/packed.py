"""A model's weights in the kernel's layout, repacked whenever the model's own have changed.

The model's parameters stay the truth (DESIGN law 1). Before each step every parameter's version counter and address
are compared with those that were packed; what changed, by an optimizer, a checkpoint or an adapter, is packed again.
Parameters and adapters may be replaced; the layers that hold them are those of the model when the engine was made.

torch counts a version for every operation in place, but not for those of fused optimizers (2.13), so a hook counts one
after every optimizer step. Writes that go around torch, through `.data` or a numpy view, are not noticed by anyone.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from whetstone.engine.native.interface import integers, pointers
from whetstone.errors import WorkFailed
from whetstone.models.decoder import Decoder, Linear
from whetstone.models.lora import LowRank
from whetstone.models.snapshot import Snapshot

StorageKind = Literal["fp32", "bf16", "int8"]
STORAGES: tuple[StorageKind, ...] = ("fp32", "bf16", "int8")
GROUP = 32  # weights along the inputs that share an int8 scale, as in gemm.h
_QKV, _OUT, _GATE_UP, _DOWN = range(4)
_MIXER, _CHANNEL, _QUERY, _KEY = range(4)


def dequantised(weight_OK: Tensor, storage: StorageKind) -> Tensor:
    """What the kernel computes with when it stores `weight_OK` so: fp32, rounded to bf16, or int8 times a scale for
    each group of 32 inputs (symmetric: the largest of a group is 127)."""
    if storage == "fp32":
        return weight_OK.float()
    if storage == "bf16":
        return weight_OK.bfloat16().float()
    inputs = weight_OK.shape[1]
    padded_OK = nn.functional.pad(weight_OK.float(), (0, -inputs % GROUP))
    groups_OGK = padded_OK.unflatten(1, (-1, GROUP))
    scale_OG1 = groups_OGK.abs().amax(-1, keepdim=True) / 127
    whole_OGK = torch.where(scale_OG1 > 0, groups_OGK / scale_OG1, 0).round().clamp(-127, 127)
    return (whole_OGK * scale_OG1).flatten(1)[:, :inputs]


@dataclass
class _Piece:
    """One matrix or norm of the kernel and the modules that it is made of: several linears side by side, or one module
    whose `weight` alone counts (a norm, or the embedding where it is the output matrix)."""

    layer: int
    slot: int
    linears: tuple[Linear, ...] = ()
    weight_of: nn.Module | None = None
    seen: Snapshot | None = None
    scales: list[float | None] = field(default_factory=list)

    def sources(self) -> tuple[list[Tensor], list[float | None]]:
        """Everything that the piece's values depend on: tensors, and for each linear its adapter's scale."""
        if self.weight_of is not None:
            return [_parameter(self.weight_of, "weight")], []
        tensors: list[Tensor] = []
        scales: list[float | None] = [None] * len(self.linears)
        for place, linear in enumerate(self.linears):
            tensors += [tensor for tensor in linear._parameters.values() if tensor is not None]
            if (adapter := linear._modules.get("adapter")) is not None:
                if not isinstance(adapter, LowRank):
                    raise WorkFailed(f"the CPU kernel knows no adapter of the kind {type(adapter).__name__}")
                tensors += [_parameter(adapter, "a"), _parameter(adapter, "b")]
                scales[place] = adapter.scale
        return tensors, scales


class PackedWeights:
    """Keeps the kernel's copy of `model` up to date; `handle` is the kernel's model."""

    def __init__(self, library: ctypes.CDLL, handle: int, model: Decoder) -> None:
        self._library, self._handle = library, handle
        self._pieces = list(_pieces(model))
        modules = [module for piece in self._pieces for module in (*piece.linears, piece.weight_of) if module]
        # The tables of the modules rather than the modules: after a step nothing is left in the processor's caches, and
        # the fewer objects a look has to touch the quicker it is.
        self._tables = [module._parameters for module in modules]
        self._adapters = [linear._modules for piece in self._pieces for linear in piece.linears]
        self._seen: Snapshot | None = None
        self._scales: list[float | None] = []

    @torch.no_grad()
    def refresh(self) -> bool:
        """Pack what changed since the last call; True if anything was.

        Raises:
            WorkFailed: there is not enough memory, or an adapter that the kernel does not know.
        """
        tensors, scales = self._everything()
        if self._seen is not None and scales == self._scales and self._seen.holds(tensors):
            return False
        self._seen = None
        changed = self._repack()
        self._seen, self._scales = Snapshot(tensors), scales
        return changed

    def _everything(self) -> tuple[list[Tensor], list[float | None]]:
        """What all pieces depend on: tensors, and for each linear its adapter's scale (None where it has none)."""
        tensors: list[Tensor] = [tensor for table in self._tables for tensor in table.values() if tensor is not None]
        adapters = [table.get("adapter") for table in self._adapters]
        tensors += [tensor for adapter in adapters if adapter is not None for tensor in adapter.parameters()]
        return tensors, [None if adapter is None else _scale(adapter) for adapter in adapters]

    def _repack(self) -> bool:
        changed = False
        for piece in self._pieces:
            tensors, scales = piece.sources()
            if piece.seen is not None and scales == piece.scales and piece.seen.holds(tensors):
                continue
            piece.seen = None  # a failure below must not leave the piece marked as packed
            self._pack(piece)
            piece.seen, piece.scales = Snapshot(tensors), scales
            changed = True
        return changed

    def _pack(self, piece: _Piece) -> None:
        if piece.weight_of is None:
            weights = [_merged(linear) for linear in piece.linears]
            biases = [None if linear.bias is None else plain(linear.bias) for linear in piece.linears]
        else:
            weights = [plain(_parameter(piece.weight_of, "weight"))]
            biases = [None]
        if weights[0].ndim == 1:
            failed = self._library.native_set_norm(
                self._handle, piece.layer, piece.slot, weights[0].data_ptr(), weights[0].numel()
            )
        else:
            failed = self._library.native_pack(
                self._handle,
                piece.layer,
                piece.slot,
                weights[0].shape[1],
                len(weights),
                pointers([weight.data_ptr() for weight in weights]),
                pointers([None if bias is None else bias.data_ptr() for bias in biases]),
                integers([weight.shape[0] for weight in weights]),
            )
        if failed:
            raise WorkFailed("there is not enough memory for the CPU kernel's copy of the weights")


def _scale(adapter: nn.Module) -> float:
    return adapter.scale if isinstance(adapter, LowRank) else math.nan  # `sources` refuses other kinds


def _parameter(module: nn.Module, name: str) -> Tensor:
    tensor = module._parameters[name]
    assert tensor is not None
    return tensor


def plain(tensor: Tensor) -> Tensor:
    """The numbers as the kernel reads them, contiguous. Raises WorkFailed unless they are fp32 on the CPU."""
    if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
        raise WorkFailed(f"the CPU kernel needs fp32 weights on the CPU, not {tensor.dtype} on {tensor.device}")
    return tensor.detach().contiguous()


def _merged(linear: Linear) -> Tensor:
    """The weight with its adapter's term added."""
    weight = plain(linear.weight)
    return weight + linear.adapter.delta() if isinstance(linear.adapter, LowRank) else weight


def _pieces(model: Decoder) -> Iterator[_Piece]:
    block: Any
    for index, block in enumerate(model.layers):
        mixer, channel = block.mixer, block.channel
        yield _Piece(index, _QKV, (mixer.q, mixer.k, mixer.v))
        yield _Piece(index, _OUT, (mixer.o,))
        yield _Piece(index, _GATE_UP, (channel.gate, channel.up))
        yield _Piece(index, _DOWN, (channel.down,))
        post = model.config.norm_position == "post"
        yield _Piece(index, _MIXER, weight_of=block.mixer_post_norm if post else block.mixer_norm)
        yield _Piece(index, _CHANNEL, weight_of=block.channel_post_norm if post else block.channel_norm)
        if mixer.qk_norm != "none":
            yield _Piece(index, _QUERY, weight_of=mixer.q_norm)
            yield _Piece(index, _KEY, weight_of=mixer.k_norm)
    yield _Piece(-1, 0, weight_of=model.norm)
    yield _Piece(-1, 0, weight_of=model.embed if model.head is None else model.head)
