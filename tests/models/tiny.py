"""Tiny transformers models with every parameter randomised: the oracle of the tests in this folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from whetstone.models.decoder import Decoder
from whetstone.models.packing import TokenTrie

# Sizes that show a mix-up: vocabulary no power of two, kv heads != heads, channel width no multiple of the
# width.
SIZES = dict(
    vocab_size=251,
    hidden_size=48,
    intermediate_size=104,
    num_hidden_layers=3,
    num_attention_heads=6,
    num_key_value_heads=2,
    max_position_embeddings=128,
    attn_implementation="eager",
    bos_token_id=None,
    eos_token_id=None,
    pad_token_id=None,
)
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=500.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)

CONFIGS: dict[str, PreTrainedConfig] = {
    "llama-tied": LlamaConfig(**SIZES, tie_word_embeddings=True),
    "llama-biases": LlamaConfig(
        **SIZES, attention_bias=True, mlp_bias=True, tie_word_embeddings=False, rms_norm_eps=1e-3
    ),
    "llama-head-dim": LlamaConfig(**SIZES, head_dim=20, tie_word_embeddings=False),
    "llama-long": LlamaConfig(**SIZES, rope_parameters=LLAMA3, tie_word_embeddings=False),
    "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=True),
    "qwen2-window": Qwen2Config(
        **SIZES, use_sliding_window=True, sliding_window=5, max_window_layers=1, tie_word_embeddings=False
    ),
    "qwen3": Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True),
    "qwen3-window": Qwen3Config(
        **SIZES,
        head_dim=16,
        use_sliding_window=True,
        sliding_window=7,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        tie_word_embeddings=False,
    ),
    "olmo2": Olmo2Config(**SIZES, tie_word_embeddings=False),
    "mistral-window": MistralConfig(**SIZES, head_dim=16, sliding_window=6, tie_word_embeddings=False),
    "mistral-full": MistralConfig(**SIZES, sliding_window=None, tie_word_embeddings=False),
}


@torch.no_grad()
def randomise(model: PreTrainedModel, seed: int = 0) -> PreTrainedModel:
    """Matrices N(0, 1/fan_in), norms U[0.5, 1.5], biases N(0, 0.5): the default initialisation hides bugs."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name:
            parameter.copy_(0.5 + torch.rand(parameter.shape, generator=generator))
        elif parameter.ndim == 1:
            parameter.copy_(0.5 * noise)
        else:
            parameter.copy_(noise * parameter.shape[1] ** -0.5)
    return model.eval()


@cache
def oracle(name: str) -> PreTrainedModel:
    """The transformers model of that name, shared by the tests: do not change it."""
    return randomise(AutoModelForCausalLM.from_config(CONFIGS[name]))


def saved(name: str, folder: Path, **options: object) -> Path:
    """Write the model of that name to `folder` as transformers does."""
    oracle(name).save_pretrained(folder, **options)
    return folder


@torch.no_grad()
def our_logits(model: Decoder, ids: list[int]) -> torch.Tensor:
    """Logits [T, V] of one sequence."""
    tree = TokenTrie([ids])
    return model.logits(model(tree.ids_N, tree.positions_N, tree))


@torch.no_grad()
def their_logits(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    """Logits [T, V] of one sequence."""
    return model(input_ids=torch.tensor([ids])).logits[0]


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference, in units of the spread of the right answer."""
    return float((ours - theirs).abs().max() / theirs.std())


def some_ids(length: int = 40, seed: int = 1) -> list[int]:
    return torch.randint(0, SIZES["vocab_size"], (length,), generator=torch.Generator().manual_seed(seed)).tolist()
