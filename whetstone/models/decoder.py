"""The one decoder: a list of blocks `x + mixer(norm(x))`, `x + channel(norm(x))`, on a flat run of tokens.

Tokens are flat, shape [N, D]: no linear layer ever touches padding. How tokens see each other is not the
decoder's business: every attention layer hands its queries, keys and values to an `AttentionContext`, which is
a tree of shared prefixes in training (`models/packing.py`) or a cache in generation (`engine/torch_runner.py`).
So training and generation run this same code on the same tensors (DESIGN law 1).

Shapes in names: N tokens, D width, H query heads, G key-value heads, E head size, V vocabulary.
Parameters are fp32 masters; activations may be narrower, then each `Linear` casts its weight to them.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whetstone.models.config import ModelConfig, Rope
from whetstone.models.fused import rms_norm, rotate, swiglu


class AttentionContext(Protocol):
    """Decides which tokens each query sees. One instance serves one forward pass."""

    def attend(self, layer: int, q_NHE: Tensor, k_NGE: Tensor, v_NGE: Tensor, window: int | None) -> Tensor:
        """Softmax attention with scale E**-0.5; returns [N, H, E]."""
        ...


class Linear(nn.Module):
    """y = x W^T + b in the dtype of x; an optional low-rank `adapter` adds its own term (LoRA)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        self.adapter: nn.Module | None = None
        self.narrow: Tensor | None = None  # the weight in the compute dtype, lent by the engine's runner

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight if self.narrow is None else self.narrow
        bias = None if self.bias is None else self.bias.to(x.dtype)
        y = F.linear(x, weight.to(x.dtype), bias)
        return y if self.adapter is None else y + self.adapter(x)


class RMSNorm(nn.Module):
    """x / rms(x) * weight, computed in fp32 (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


def rotary_frequencies(rope: Rope, head_dim: int, device: torch.device) -> Tensor:
    """Angular frequencies [E/2], with Llama 3's long-context rule where the config names it."""
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim
    frequency = 1.0 / rope.theta**exponent
    if rope.factor is None:
        return frequency
    wavelength = 2 * math.pi / frequency
    longest = rope.original_positions / rope.low_freq_factor
    shortest = rope.original_positions / rope.high_freq_factor
    blend = (rope.original_positions / wavelength - rope.low_freq_factor) / (
        rope.high_freq_factor - rope.low_freq_factor
    )
    smooth = (1 - blend) * frequency / rope.factor + blend * frequency
    scaled = torch.where(wavelength > longest, frequency / rope.factor, frequency)
    return torch.where((wavelength <= longest) & (wavelength >= shortest), smooth, scaled)


class Attention(nn.Module):
    """Grouped-query attention: optional QK-norm (per head, or over the full width), window and biases."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.layer, self.window, self.qk_norm = layer, config.window(layer), config.qk_norm
        queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q = Linear(config.width, queries, config.qkv_bias)
        self.k = Linear(config.width, keys, config.qkv_bias)
        self.v = Linear(config.width, keys, config.qkv_bias)
        self.o = Linear(queries, config.width, config.output_bias)
        if self.qk_norm != "none":
            full = self.qk_norm == "full"
            self.q_norm = RMSNorm(queries if full else config.head_dim, config.norm_eps)
            self.k_norm = RMSNorm(keys if full else config.head_dim, config.norm_eps)

    def forward(self, x_ND: Tensor, cos_NE: Tensor, sin_NE: Tensor, context: AttentionContext) -> Tensor:
        q, k, v = self.q(x_ND), self.k(x_ND), self.v(x_ND)
        if self.qk_norm == "full":
            q, k = self.q_norm(q), self.k_norm(k)
        q_NHE = q.unflatten(-1, (self.heads, self.head_dim))
        k_NGE = k.unflatten(-1, (self.kv_heads, self.head_dim))
        v_NGE = v.unflatten(-1, (self.kv_heads, self.head_dim))
        if self.qk_norm == "head":
            q_NHE, k_NGE = self.q_norm(q_NHE), self.k_norm(k_NGE)
        q_NHE, k_NGE = rotate(q_NHE, cos_NE, sin_NE), rotate(k_NGE, cos_NE, sin_NE)
        return self.o(context.attend(self.layer, q_NHE, k_NGE, v_NGE, self.window).flatten(1))


class GLU(nn.Module):
    """down(silu(gate(x)) * up(x)) (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = Linear(config.width, config.channel_width, config.channel_bias)
        self.up = Linear(config.width, config.channel_width, config.channel_bias)
        self.down = Linear(config.channel_width, config.width, config.channel_bias)

    def forward(self, x_ND: Tensor) -> Tensor:
        return self.down(swiglu(self.gate(x_ND), self.up(x_ND)))


class Block(nn.Module):
    """A token mixer and a channel mixer around a residual stream; norms before ('pre') or after ('post') them."""

    def __init__(self, config: ModelConfig, mixer: nn.Module, channel: nn.Module) -> None:
        super().__init__()
        self.mixer, self.channel = mixer, channel
        self.mixer_norm = self.channel_norm = self.mixer_post_norm = self.channel_post_norm = None
        if config.norm_position == "pre":
            self.mixer_norm = RMSNorm(config.width, config.norm_eps)
            self.channel_norm = RMSNorm(config.width, config.norm_eps)
        else:
            self.mixer_post_norm = RMSNorm(config.width, config.norm_eps)
            self.channel_post_norm = RMSNorm(config.width, config.norm_eps)

    def forward(self, x_ND: Tensor, cos_NE: Tensor, sin_NE: Tensor, context: AttentionContext) -> Tensor:
        mixed = self.mixer(x_ND if self.mixer_norm is None else self.mixer_norm(x_ND), cos_NE, sin_NE, context)
        x_ND = x_ND + (mixed if self.mixer_post_norm is None else self.mixer_post_norm(mixed))
        mixed = self.channel(x_ND if self.channel_norm is None else self.channel_norm(x_ND))
        return x_ND + (mixed if self.channel_post_norm is None else self.channel_post_norm(mixed))


class Embedding(nn.Module):
    """Token vectors [V, D]."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, width))

    def forward(self, ids_N: Tensor) -> Tensor:
        return F.embedding(ids_N, self.weight)


class Decoder(nn.Module):
    """Token ids in, hidden states out; logits only for the rows that the caller asks for."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = Embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(
            Block(config, Attention(config, layer), GLU(config)) for layer in range(config.layers)
        )
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.head = None if config.tied else Linear(config.width, config.vocab_size)
        self.compute_dtype = torch.float32

    @property
    def device(self) -> torch.device:
        return self.embed.weight.device

    @property
    def head_weight_VD(self) -> Tensor:
        """The output matrix: the embedding itself where the two are tied."""
        return self.embed.weight if self.head is None else self.head.weight

    def forward(self, ids_N: Tensor, positions_N: Tensor, context: AttentionContext) -> Tensor:
        """Hidden states [N, D] after the last norm, for flat `ids_N` at `positions_N` under `context`."""
        return self.states(ids_N, positions_N, context, {self.config.layers})[self.config.layers]

    def states(
        self, ids_N: Tensor, positions_N: Tensor, context: AttentionContext, layers: Collection[int]
    ) -> dict[int, Tensor]:
        """The residual stream [N, D] after so many blocks, for each number in `layers`, from 0 (the embeddings) on;
        after all of them it has gone through the last norm, too. Blocks behind the highest number are not computed."""
        frequency = rotary_frequencies(self.config.rope, self.config.head_dim, ids_N.device)
        angle_NE = (positions_N[:, None].float() * frequency).repeat(1, 2)
        cos_NE, sin_NE = angle_NE.cos().to(self.compute_dtype), angle_NE.sin().to(self.compute_dtype)
        x_ND = self.embed(ids_N).to(self.compute_dtype)
        found = {0: x_ND} if 0 in layers else {}
        for depth, block in enumerate(self.layers[: max(layers)], start=1):
            x_ND = block(x_ND, cos_NE, sin_NE, context)
            if depth in layers:
                found[depth] = self.norm(x_ND) if depth == self.config.layers else x_ND
        return found

    def logits(self, hidden_ND: Tensor) -> Tensor:
        """Vocabulary logits [N, V] in fp32; matmul inputs are widened because a bf16 head costs exactness."""
        return F.linear(hidden_ND.float(), self.head_weight_VD.float())

    @torch.no_grad()
    def randomise(self, seed: int) -> Decoder:
        """Fill every parameter from `seed`: matrices N(0, 1/fan_in), vectors around one, biases small."""
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                value = 1 + 0.1 * noise
            elif parameter.ndim == 1:
                value = 0.1 * noise
            else:
                value = noise * parameter.shape[1] ** -0.5
            parameter.copy_(value)
        return self
