"""Tiny decoders of every kind, and steps for a runner written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.tiny import CONFIGS, our_logits, some_ids
from whetstone.engine.native import NativeRunner, reason
from whetstone.engine.native.packed import StorageKind, dequantised
from whetstone.engine.step import BLOCK, Step
from whetstone.models.config import ModelConfig, Rope, from_hf
from whetstone.models.decoder import Decoder
from whetstone.models.packing import TokenTrie

needs_kernel = pytest.mark.skipif(reason() is not None, reason=f"no kernel here: {reason()}")

_PLAIN = ModelConfig(
    family="llama",
    vocab_size=251,
    width=40,
    layers=2,
    heads=4,
    kv_heads=4,
    head_dim=10,
    channel_width=72,
    rope=Rope(),
)
# Beyond what the families have: sizes that fill neither a vector nor a group, many queries to a key head, one head.
SHAPES: dict[str, ModelConfig] = {
    **{name: from_hf(config.to_dict()) for name, config in CONFIGS.items()},
    "odd-sizes": _PLAIN,
    "one-head": replace(_PLAIN, heads=1, kv_heads=1, head_dim=64, width=33, channel_width=31, tied=False),
    "many-queries": replace(_PLAIN, heads=14, kv_heads=2, head_dim=16, qkv_bias=True),
    "post-norm-biases": replace(
        _PLAIN, norm_position="post", qk_norm="full", qkv_bias=True, output_bias=True, channel_bias=True, tied=False
    ),
    "whole-vectors": replace(_PLAIN, width=64, heads=3, kv_heads=1, head_dim=64, channel_width=96, windows=(20, None)),
}


def decoder(name: str, seed: int = 0) -> Decoder:
    """The decoder of that name, every parameter randomised."""
    return Decoder(SHAPES[name]).randomise(seed)


def stored(model: Decoder, storage: StorageKind) -> Decoder:
    """A copy whose matrices hold what the kernel computes with; the embeddings that it looks up stay as they are."""
    copy = Decoder(replace(model.config, tied=False))
    weights = dict(model.state_dict())
    weights.setdefault("head.weight", weights["embed.weight"])
    copy.load_state_dict(weights)
    with torch.no_grad():
        for name, parameter in copy.named_parameters():
            if parameter.ndim == 2 and name != "embed.weight":
                parameter.copy_(dequantised(parameter, storage))
    return copy


@torch.no_grad()
def reference(model: Decoder, ids: list[int]) -> tuple[Tensor, Tensor]:
    """Logits [T, V] and hidden states [T, D] of one sequence, by the decoder itself."""
    tree = TokenTrie([ids])
    return our_logits(model, ids), model(tree.ids_N, tree.positions_N, tree)


def step(rows: list[tuple[int, int, int]], tables: list[list[int]], wanted: list[int] | None = None) -> Step:
    """A step of rows (id, position, branch); all rows are wanted unless said otherwise."""
    ids, positions, branches = zip(*rows, strict=True)
    widest = max(len(table) for table in tables)
    tables_RC = np.full((len(tables), widest), -1, dtype=np.int32)
    for branch, table in enumerate(tables):
        tables_RC[branch, : len(table)] = table
    return Step(
        np.array(ids, dtype=np.int64),
        np.array(positions, dtype=np.int64),
        np.array(branches, dtype=np.int64),
        tables_RC,
        np.arange(len(rows)) if wanted is None else np.array(wanted, dtype=np.int64),
    )


def rows_of(ids: list[int], begin: int = 0, branch: int = 0) -> list[tuple[int, int, int]]:
    """The rows of ids[begin:] of one branch."""
    return [(ids[position], position, branch) for position in range(begin, len(ids))]


def blocks_for(tokens: int) -> int:
    return -(-tokens // BLOCK)


def alone(runner: NativeRunner, ids: list[int]) -> Tensor:
    """Logits [T, V] of one sequence in one step, in the runner's first blocks, with the weights as they are now."""
    runner.refresh()
    return runner.run(step(rows_of(ids), [list(range(blocks_for(len(ids))))]))


def sequence(length: int, seed: int) -> list[int]:
    return some_ids(length, seed)
