"""The decoder's arithmetic with joined products: what a step computes where every layer is of the common kind.

Same parameters, same order of operations and roundings as `models/decoder.py`, which stays the definition: tests and
`bench/gpu_engine.py` compare the two. Joined are q, k and v, and gate and up; residual additions go with the norm that
follows them. Joined weights are copies in the compute dtype, written in place when the model's weights change, so
that captured graphs stay valid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from whetstone.engine.gpu.operations import Operations, Rows
from whetstone.models.decoder import GLU, Attention, Block, Decoder, Linear, rotary_frequencies


def obstacle(model: Decoder) -> str | None:
    """Why the joined form cannot compute `model`, in one line; None if it can."""
    config = model.config
    if config.norm_position != "pre":
        return "norms stand after the layers"
    if config.qk_norm not in ("none", "head"):
        return f"queries and keys have the norm {config.qk_norm!r}"
    if config.head_dim % 2:
        return f"a head of {config.head_dim} numbers cannot be rotated in halves"
    for block in model.layers:
        if type(block.mixer) is not Attention or type(block.channel) is not GLU:
            return f"no joined form of {type(block.mixer).__name__} and {type(block.channel).__name__}"
    if any(module.adapter is not None for module in model.modules() if isinstance(module, Linear)):
        return "it has adapters"
    return None


@dataclass(frozen=True)
class Joined:
    """Linear layers of one input as one product, [O, D], in the compute dtype."""

    parts: tuple[Linear, ...]
    weight_OD: Tensor
    bias_O: Tensor | None

    @classmethod
    def of(cls, *parts: Linear, dtype: torch.dtype) -> Joined:
        """A copy, unless it is a single part of that dtype: then its very parameter."""
        if len(parts) == 1 and parts[0].weight.dtype == dtype:
            weight_OD = parts[0].weight.detach()
        else:
            outputs = sum(len(part.weight) for part in parts)
            weight_OD = parts[0].weight.new_empty((outputs, parts[0].weight.shape[1]), dtype=dtype)
        bias_O = None if parts[0].bias is None else weight_OD.new_empty(len(weight_OD))
        return cls(parts, weight_OD, bias_O)

    @property
    def views(self) -> list[tuple[Linear, Tensor]]:
        """Each part with its own rows of the joined weight."""
        sizes = [len(part.weight) for part in self.parts]
        return list(zip(self.parts, self.weight_OD.split(sizes), strict=True))

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the parts' weights as they are now, in place."""
        for part, view in self.views:
            if view.data_ptr() != part.weight.data_ptr():
                view.copy_(part.weight)
        if self.bias_O is not None:
            sizes = [len(part.weight) for part in self.parts]
            for part, piece in zip(self.parts, self.bias_O.split(sizes), strict=True):
                assert part.bias is not None  # q, k and v have biases together, gate and up too
                piece.copy_(part.bias)


@dataclass(frozen=True)
class _Layer:
    block: Block
    attention: Attention
    qkv: Joined
    o: Joined
    gate_up: Joined
    down: Joined

    @property
    def joined(self) -> tuple[Joined, ...]:
        return (self.qkv, self.o, self.gate_up, self.down)


class FusedDecoder:
    """Hidden states of a step by `operations`. Raises ValueError for a model with an `obstacle`."""

    def __init__(self, model: Decoder, operations: Operations) -> None:
        if (reason := obstacle(model)) is not None:
            raise ValueError(f"this model has no joined form: {reason}")
        self._model, self._operations = model, operations
        dtype = model.compute_dtype
        self._frequency_E = rotary_frequencies(model.config.rope, model.config.head_dim, model.device)
        self._layers = []
        for block in model.layers:
            attention, channel = block.mixer, block.channel
            # `obstacle` made sure; this is for the type checker
            assert isinstance(block, Block) and isinstance(attention, Attention) and isinstance(channel, GLU)
            self._layers.append(
                _Layer(
                    block,
                    attention,
                    qkv=Joined.of(attention.q, attention.k, attention.v, dtype=dtype),
                    o=Joined.of(attention.o, dtype=dtype),
                    gate_up=Joined.of(channel.gate, channel.up, dtype=dtype),
                    down=Joined.of(channel.down, dtype=dtype),
                )
            )
        self.refresh()

    @property
    def narrow(self) -> list[tuple[Linear, Tensor]]:
        """Every linear layer of the blocks with its weight in the compute dtype."""
        return [pair for layer in self._layers for joined in layer.joined for pair in joined.views]

    def refresh(self) -> None:
        """Take over the model's weights as they are now, in place."""
        for layer in self._layers:
            for joined in layer.joined:
                joined.refresh()

    def __call__(self, rows: Rows, keys_L: Tensor, values_L: Tensor) -> Tensor:
        """Hidden states [N, D] after the last norm, in the compute dtype. The caches: [layers, slots, G, E]."""
        model, do = self._model, self._operations
        angle_NE = (rows.positions_N[:, None].float() * self._frequency_E).repeat(1, 2)
        cos_NE, sin_NE = angle_NE.cos().to(model.compute_dtype), angle_NE.sin().to(model.compute_dtype)
        x_ND = model.embed(rows.ids_N).to(model.compute_dtype)
        delta_ND: Tensor | None = None
        for place, layer in enumerate(self._layers):
            keys, values, attention = keys_L[place], values_L[place], layer.attention
            assert layer.block.mixer_norm is not None and layer.block.channel_norm is not None
            x_ND, y_ND = do.norm(x_ND, delta_ND, layer.block.mixer_norm.weight, layer.block.mixer_norm.eps)
            qkv_NF = do.linear(y_ND, layer.qkv.weight_OD, layer.qkv.bias_O)
            norms = None
            if attention.qk_norm == "head":
                norms = (attention.q_norm.weight, attention.k_norm.weight)
            eps = model.config.norm_eps
            q_NHE = do.rotate_and_store(qkv_NF, cos_NE, sin_NE, norms, eps, keys, values, rows)
            mixed_NHE = do.attend(q_NHE, keys, values, rows, attention.window)
            delta_ND = do.linear(mixed_NHE.flatten(1), layer.o.weight_OD, layer.o.bias_O)
            x_ND, y_ND = do.norm(x_ND, delta_ND, layer.block.channel_norm.weight, layer.block.channel_norm.eps)
            opened_NC = do.glu(do.linear(y_ND, layer.gate_up.weight_OD, layer.gate_up.bias_O))
            delta_ND = do.linear(opened_NC, layer.down.weight_OD, layer.down.bias_O)
        return do.norm(x_ND, delta_ND, model.norm.weight, model.norm.eps)[1]


class PagedRows:
    """The attention context of the plain decoder, for models without a joined form."""

    def __init__(self, keys_L: Tensor, values_L: Tensor, rows: Rows, operations: Operations) -> None:
        self._keys_L, self._values_L = keys_L, values_L
        self._rows, self._operations = rows, operations
        self._slots_N = rows.slots_N()

    def attend(self, layer: int, q_NHE: Tensor, k_NGE: Tensor, v_NGE: Tensor, window: int | None) -> Tensor:
        keys, values = self._keys_L[layer], self._values_L[layer]
        keys[self._slots_N], values[self._slots_N] = k_NGE, v_NGE
        return self._operations.attend(q_NHE.contiguous(), keys, values, self._rows, window)
