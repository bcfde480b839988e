"""What a decoder looks like, and the translation from and to Hugging Face's `config.json`.

One table per family, a few lines each. A `config.json` key that changes the arithmetic and that we do not
express is an error here, never a silent difference in the logits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from whetstone.errors import UsageError

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "olmo2")


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding. `scaling` is None, or the llama3 rule's four numbers."""

    theta: float = 10_000.0
    factor: float | None = None
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_positions: int = 8192


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and switches of one decoder. `windows[i]` is layer i's sliding window, None for full attention."""

    family: str
    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    channel_width: int
    rope: Rope
    norm_eps: float = 1e-5
    tied: bool = True
    qk_norm: Literal["none", "head", "full"] = "none"
    norm_position: Literal["pre", "post"] = "pre"
    qkv_bias: bool = False
    output_bias: bool = False
    channel_bias: bool = False
    max_positions: int = 8192
    windows: tuple[int | None, ...] = ()

    def window(self, layer: int) -> int | None:
        return self.windows[layer] if self.windows else None

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of fp32 key and value cache that one token needs, all layers together."""
        return 2 * self.layers * self.kv_heads * self.head_dim * 4


def _rope(hf: dict[str, Any]) -> Rope:
    # transformers 5 writes `rope_parameters`; older files `rope_theta` beside `rope_scaling`.
    parameters = {**(hf.get("rope_scaling") or {}), **(hf.get("rope_parameters") or {})}
    theta = float(parameters.get("rope_theta", hf.get("rope_theta", 10_000.0)))
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind == "default":
        return Rope(theta)
    if kind == "llama3":
        return Rope(
            theta,
            float(parameters["factor"]),
            float(parameters["low_freq_factor"]),
            float(parameters["high_freq_factor"]),
            int(parameters["original_max_position_embeddings"]),
        )
    raise UsageError(
        f"this model scales its positions by the rule {kind!r}; only 'default' and 'llama3' are known here"
    )


def _windows(hf: dict[str, Any]) -> tuple[int | None, ...]:
    window, layers = hf.get("sliding_window"), int(hf["num_hidden_layers"])
    if window is None or not hf.get("use_sliding_window", True):
        return ()
    kinds = hf.get("layer_types")
    if kinds is None:  # Qwen: the first `max_window_layers` layers attend to everything
        full = int(hf.get("max_window_layers", 0)) if hf["model_type"].startswith("qwen") else 0
        kinds = ["full_attention"] * min(full, layers) + ["sliding_attention"] * (layers - full)
    return tuple(int(window) if kind == "sliding_attention" else None for kind in kinds)


def from_hf(hf: dict[str, Any]) -> ModelConfig:
    """Read the dictionary of a `config.json`. Raises UsageError for a model that we cannot express."""
    family = hf.get("model_type")
    if family not in FAMILIES:
        raise UsageError(f"model type {family!r} is not known; known types: {', '.join(FAMILIES)}")
    activation = hf.get("hidden_act", "silu")
    if activation != "silu":
        raise UsageError(f"activation {activation!r} is not known for {family}; only 'silu' is")
    try:
        heads = int(hf["num_attention_heads"])
        base = ModelConfig(
            family=family,
            vocab_size=int(hf["vocab_size"]),
            width=int(hf["hidden_size"]),
            layers=int(hf["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(hf.get("num_key_value_heads") or heads),
            head_dim=int(hf.get("head_dim") or int(hf["hidden_size"]) // heads),
            channel_width=int(hf["intermediate_size"]),
            rope=_rope(hf),
            norm_eps=float(hf.get("rms_norm_eps", 1e-6)),
            tied=bool(hf.get("tie_word_embeddings", False)),
            max_positions=int(hf.get("max_position_embeddings", 8192)),
        )
    except KeyError as missing:
        raise UsageError(f"config.json lacks the key {missing}") from None
    if family == "qwen2":
        return replace(base, qkv_bias=True, windows=_windows({"use_sliding_window": False, **hf}))
    bias = bool(hf.get("attention_bias", False))
    base = replace(base, qkv_bias=bias, output_bias=bias)
    if family == "llama":
        return replace(base, channel_bias=bool(hf.get("mlp_bias", False)))
    if family == "qwen3":
        return replace(base, qk_norm="head", windows=_windows({"use_sliding_window": False, **hf}))
    if family == "olmo2":
        return replace(base, qk_norm="full", norm_position="post")
    return replace(base, qkv_bias=False, output_bias=False, windows=_windows(hf))


_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
}


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The `config.json` dictionary that `from_hf` (and transformers) reads back to the same model."""
    hf: dict[str, Any] = {
        "model_type": config.family,
        "architectures": [_ARCHITECTURES[config.family]],
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.channel_width,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope.theta,
        "rope_scaling": None,
        "hidden_act": "silu",
        "tie_word_embeddings": config.tied,
        "max_position_embeddings": config.max_positions,
        "dtype": "float32",
    }
    if config.rope.factor is not None:
        hf["rope_scaling"] = {
            "rope_type": "llama3",
            "factor": config.rope.factor,
            "low_freq_factor": config.rope.low_freq_factor,
            "high_freq_factor": config.rope.high_freq_factor,
            "original_max_position_embeddings": config.rope.original_positions,
        }
    if config.family not in ("qwen2", "mistral"):
        hf["attention_bias"] = config.qkv_bias
    if config.family == "llama":
        hf["mlp_bias"] = config.channel_bias
    window = next((w for w in config.windows if w is not None), None)
    if config.family in ("qwen2", "qwen3"):
        hf["use_sliding_window"] = window is not None
    if window is not None:
        hf["sliding_window"] = window
        hf["layer_types"] = ["full_attention" if w is None else "sliding_attention" for w in config.windows]
    elif config.family == "mistral":
        hf["sliding_window"] = None
    return hf
