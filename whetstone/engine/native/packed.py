"""A model's weights in the kernel's layout, repacked whenever the model's own have changed.

The model's parameters stay the truth (DESIGN law 1). Before each step every parameter's version counter and address
are compared with those that were packed; what changed, by an optimizer, a checkpoint or an adapter, is packed again.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int64, c_void_p
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from whetstone.engine.native.interface import array_of
from whetstone.errors import WorkFailed
from whetstone.models.decoder import Decoder, Linear
from whetstone.models.lora import LowRank

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
class _Seen:
    """A tensor as it was packed. The weak reference keeps a freed storage's identity from being given to another one:
    a new tensor may stand at the old address with the old version, but not while the old storage is known alive."""

    storage: StorageWeakRef
    address: int
    version: int

    @classmethod
    def of(cls, tensor: Tensor) -> _Seen:
        return cls(StorageWeakRef(tensor.untyped_storage()), tensor.data_ptr(), tensor._version)

    def holds(self, tensor: Tensor) -> bool:
        return tensor._version == self.version and tensor.data_ptr() == self.address and not self.storage.expired()


@dataclass
class _Piece:
    """One matrix or norm of the kernel and the modules that it is made of."""

    layer: int
    slot: int
    linears: tuple[Linear, ...] = ()
    vector: nn.Parameter | None = None
    matrix: nn.Parameter | None = None
    seen: list[_Seen] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)

    def tensors(self) -> tuple[list[Tensor], list[float]]:
        """Everything that the piece's values depend on: tensors, and the adapters' scales."""
        tensors: list[Tensor] = []
        scales: list[float] = []
        for linear in self.linears:
            tensors.append(linear.weight)
            if linear.bias is not None:
                tensors.append(linear.bias)
            if (adapter := linear.adapter) is not None:
                if not isinstance(adapter, LowRank):
                    raise WorkFailed(f"the CPU kernel knows no adapter of the kind {type(adapter).__name__}")
                tensors += (adapter.a, adapter.b)
                scales.append(adapter.scale)
        return tensors, scales


class PackedWeights:
    """Keeps the kernel's copy of `model` up to date; `handle` is the kernel's model."""

    def __init__(self, library: ctypes.CDLL, handle: int, model: Decoder) -> None:
        self._library, self._handle = library, handle
        self._pieces = list(_pieces(model))

    @torch.no_grad()
    def refresh(self) -> bool:
        """Pack what changed since the last call; True if anything was.

        Raises:
            WorkFailed: there is not enough memory, or an adapter that the kernel does not know.
        """
        changed = False
        for piece in self._pieces:
            if piece.linears:
                tensors, scales = piece.tensors()
            else:
                tensors, scales = [piece.vector if piece.vector is not None else piece.matrix], []  # type: ignore[list-item]
            same = len(tensors) == len(piece.seen) and scales == piece.scales
            if same and all(seen.holds(tensor) for seen, tensor in zip(piece.seen, tensors, strict=True)):
                continue
            piece.seen, piece.scales = [], []  # a failure below must not leave the piece marked as packed
            self._pack(piece)
            piece.seen, piece.scales = [_Seen.of(tensor) for tensor in tensors], scales
            changed = True
        return changed

    def _pack(self, piece: _Piece) -> None:
        if piece.vector is not None:
            vector = _plain(piece.vector)
            failed = self._library.native_set_norm(
                self._handle, piece.layer, piece.slot, vector.data_ptr(), vector.numel()
            )
        else:
            if piece.matrix is not None:
                weights, biases = [_plain(piece.matrix)], [None]
            else:
                weights = [_merged(linear) for linear in piece.linears]
                biases = [None if linear.bias is None else _plain(linear.bias) for linear in piece.linears]
            failed = self._library.native_pack(
                self._handle,
                piece.layer,
                piece.slot,
                weights[0].shape[1],
                len(weights),
                array_of(c_void_p, [weight.data_ptr() for weight in weights]),
                array_of(c_void_p, [None if bias is None else bias.data_ptr() for bias in biases]),
                array_of(c_int64, [weight.shape[0] for weight in weights]),
            )
        if failed:
            raise WorkFailed("there is not enough memory for the CPU kernel's copy of the weights")


def _plain(tensor: Tensor) -> Tensor:
    if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
        raise WorkFailed(f"the CPU kernel needs fp32 weights on the CPU, not {tensor.dtype} on {tensor.device}")
    return tensor.detach().contiguous()


def _merged(linear: Linear) -> Tensor:
    """The weight with its adapter's term added."""
    weight = _plain(linear.weight)
    return weight + linear.adapter.delta() if isinstance(linear.adapter, LowRank) else weight


def _pieces(model: Decoder) -> list[_Piece]:
    pieces = []
    for index, block in enumerate(model.layers):
        mixer, channel = block.mixer, block.channel
        pieces += [
            _Piece(index, _QKV, (mixer.q, mixer.k, mixer.v)),
            _Piece(index, _OUT, (mixer.o,)),
            _Piece(index, _GATE_UP, (channel.gate, channel.up)),
            _Piece(index, _DOWN, (channel.down,)),
        ]
        before_or_after = (block.mixer_norm, block.channel_norm)
        if model.config.norm_position == "post":
            before_or_after = (block.mixer_post_norm, block.channel_post_norm)
        pieces += [
            _Piece(index, _MIXER, vector=before_or_after[0].weight),
            _Piece(index, _CHANNEL, vector=before_or_after[1].weight),
        ]
        if mixer.qk_norm != "none":
            pieces += [
                _Piece(index, _QUERY, vector=mixer.q_norm.weight),
                _Piece(index, _KEY, vector=mixer.k_norm.weight),
            ]
    head = model.embed.weight if model.head is None else model.head.weight
    return [*pieces, _Piece(-1, 0, vector=model.norm.weight), _Piece(-1, 0, matrix=head)]
