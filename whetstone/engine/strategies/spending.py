"""What answering costs: every token that went through a model, every second, and the arithmetic behind both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from whetstone.models.config import ModelConfig


@dataclass(frozen=True)
class Spent:
    """Costs of answering one question, or a sum of such.

    prompt_tokens: computed for prompts, a prefix that this question had before counted once, as far as it fills whole
    blocks of a cache; cached_tokens: asked again and found. written_tokens: sampled, kept or not. verifier_tokens:
    through a verifier's model. seconds: of the time that batches took, the share of this question's tokens; for
    this question alone they would be more, and `rounds` counts how often it had to wait for a model. flops: with
    attention, verifier included; 0 when the model is not known. failed: completions that never came (refused,
    timeout, error).
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0
    verifier_tokens: int = 0
    completions: int = 0
    failed: int = 0
    rounds: int = 0
    seconds: float = 0.0
    flops: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def tokens(self) -> int:
        """Every token that was computed."""
        return self.prompt_tokens + self.written_tokens + self.verifier_tokens


def weights_read(config: ModelConfig) -> int:
    """Weights that a token is multiplied with (the embedding's row is looked up, not multiplied; the head is)."""
    return config.layers * _of_a_layer(config) + config.vocab_size * config.width


def flops(config: ModelConfig, tokens: int, context: int) -> float:
    """Floating-point operations of computing `tokens` tokens behind `context` others: 2 per weight, and 4 per layer,
    head channel and token attended to (scores and values; Kaplan et al. 2020, table 1, with the causal mean)."""
    return state_flops(config, tokens, context, config.layers) + 2.0 * config.vocab_size * config.width * tokens


def prompt_flops(config: ModelConfig, tokens: int, context: int) -> float:
    """`flops` of a prompt of which only the last token is followed by something: one row of the vocabulary."""
    if tokens == 0:
        return 0.0
    return state_flops(config, tokens, context, config.layers) + 2.0 * config.vocab_size * config.width


def state_flops(config: ModelConfig, tokens: int, context: int, layers: int) -> float:
    """`flops` of the hidden states after the first `layers` blocks alone: no row of the vocabulary is computed."""
    attended = tokens * (context + (tokens + 1) / 2)
    return layers * (2.0 * _of_a_layer(config) * tokens + 4.0 * config.heads * config.head_dim * attended)


def _of_a_layer(config: ModelConfig) -> int:
    attention = config.width * config.head_dim * (2 * config.heads + 2 * config.kv_heads)
    return attention + 3 * config.width * config.channel_width


@dataclass
class Prefixes:
    """Token ids that went through the model for one question, as a tree: what an endless cache would still have."""

    _root: dict[int, Any] = field(default_factory=dict)

    def known(self, ids: Sequence[int]) -> int:
        """How many tokens of `ids`, from the first on, are in it."""
        node = self._root
        for place, token in enumerate(ids):
            if token not in node:
                return place
            node = node[token]
        return len(ids)

    def add(self, ids: Sequence[int]) -> None:
        node = self._root
        for token in ids:
            node = node.setdefault(token, {})
