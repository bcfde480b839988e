"""GGUF files in: weights dequantised once and written as a Hugging Face folder, with tokenizer and chat
template.

Format: docs/gguf.md of the ggml project. The `gguf` package parses it and knows the quantisations; what is
    ours is
the meaning: names, sizes, the order of the rows of q and k, and the tokenizer rebuilt from its vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import tokenizers
import torch
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from torch import Tensor

from whetstone.errors import UsageError
from whetstone.models.checkpoint import INDEX, SINGLE, empty_decoder, hf_config
from whetstone.models.config import ModelConfig, Rope, from_hf
from whetstone.models.files import replaced_folder, write_json, write_tensors
from whetstone.models.names import check_names, to_gguf_name, to_hf_name
from whetstone.models.tokenizer import Tokenizer

ARCHITECTURES = ("llama", "qwen2", "qwen3", "olmo2")
SHARD_BYTES = 4 * 1024**3  # the converter never holds more than one shard of fp32 weights

_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5  # gguf.TokenType
_ROPE_TABLE = "rope_freqs.weight"


@dataclass(frozen=True)
class GGUFModel:
    """An opened GGUF file: what it is, and its tensors, dequantised one by one as they are asked for."""

    path: Path
    config: ModelConfig
    tokenizer: Tokenizer
    tensors: Callable[[], Iterator[tuple[str, Tensor]]]
    """(our name, fp32 tensor), q and k rows in the half-split rotary layout."""


def read_gguf(path: str | Path) -> GGUFModel:
    """Open a GGUF file.

    Raises:
        UsageError: not a GGUF file or cut short, an unknown architecture or tokenizer, a tensor missing.
    """
    path = Path(path)
    reader = _open(path)
    fields = _Fields(path, reader)
    architecture = fields.text("general.architecture")
    if architecture not in ARCHITECTURES:
        raise UsageError(
            f"{path} holds the architecture {architecture!r}; known in GGUF files: {', '.join(ARCHITECTURES)}"
        )
    stored = {tensor.name: tensor for tensor in reader.tensors}
    config = _config(fields, architecture, stored)
    shapes = {name: tuple(parameter.shape) for name, parameter in empty_decoder(config).named_parameters()}
    pairs = {to_gguf_name(name): name for name in shapes}
    check_names((name for name in stored if name != _ROPE_TABLE), pairs, str(path))

    def tensors() -> Iterator[tuple[str, Tensor]]:
        for theirs, ours in pairs.items():
            values = _dequantised(stored[theirs], path)
            if values.shape != shapes[ours]:
                raise UsageError(
                    f"{path}: the tensor {theirs} has the shape {list(values.shape)}, the metadata asks for "
                    f"{list(shapes[ours])}"
                )
            if architecture == "llama" and ours.split(".")[-2] in ("q", "k"):
                heads = config.heads if ours.split(".")[-2] == "q" else config.kv_heads
                values = half_split_rows(values, heads)
            yield ours, torch.from_numpy(values)

    return GGUFModel(path, config, _tokenizer(fields), tensors)


def convert_to_folder(path: str | Path, out: str | Path) -> None:
    """Write the model of a GGUF file as a Hugging Face folder in fp32 (it is made to be trained further).

    Raises:
        UsageError: as `read_gguf`, or `out` is in use.
        WorkFailed: the disk is full or not writable.
    """
    model = read_gguf(path)
    with replaced_folder(out) as folder:
        write_json(folder / "config.json", hf_config(model.config, model.tokenizer, torch.float32))
        model.tokenizer.save(folder)
        named = ((to_hf_name(name, model.config), tensor) for name, tensor in model.tensors())
        _write_shards(named, folder)


def half_split_rows(values: np.ndarray, heads: int) -> np.ndarray:
    """Undo the row order of q and k in Llama GGUF files.

    llama.cpp's converter stores the rows of each head as pairs that rotate together (0, E/2, 1, E/2+1, ...);
    HF files and our decoder keep the two halves apart. Rows [H*E, ...] (or a bias [H*E]) in, the same shape
    out.
    """
    pairs = values.reshape(heads, -1, 2, *values.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)


def _open(path: Path) -> gguf.GGUFReader:
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    try:
        return gguf.GGUFReader(path)
    except Exception as failure:  # a cut file shows as ValueError, IndexError, KeyError, ...
        raise UsageError(
            f"{path} is not a whole GGUF file ({type(failure).__name__}: {failure}): fetch it again"
        ) from failure


def _dequantised(tensor: gguf.ReaderTensor, path: Path) -> np.ndarray:
    """fp32 values in the shape [outputs, inputs] (GGUF lists dimensions fastest first)."""
    shape = tuple(int(size) for size in reversed(tensor.shape))
    if tensor.tensor_type.name == "F32":
        return np.array(tensor.data, dtype=np.float32).reshape(shape)  # a copy: the file may go away
    try:
        return np.asarray(gguf.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32).reshape(shape)
    except NotImplementedError as failure:
        raise UsageError(
            f"{path}: tensors of the type {tensor.tensor_type.name} cannot be dequantised here; take another "
            "quantisation of the model (Q8_0, Q4_K_M, F16, ...)"
        ) from failure


class _Fields:
    """The metadata of a GGUF file, with errors that name the key."""

    def __init__(self, path: Path, reader: gguf.GGUFReader) -> None:
        self.path, self._reader = path, reader

    def get(self, key: str, default: Any = None) -> Any:
        field = self._reader.get_field(key)
        return default if field is None else field.contents()

    def need(self, key: str) -> Any:
        if (value := self.get(key)) is None:
            raise UsageError(f"{self.path} lacks the metadata {key!r}")
        return value

    def text(self, key: str) -> str:
        return str(self.need(key))

    def number(self, key: str, default: float | None = None) -> float:
        value = self.need(key) if default is None else self.get(key, default)
        if not isinstance(value, (int, float)):
            raise UsageError(f"{self.path}: {key!r} differs from layer to layer, which is not known here")
        return value


def _config(fields: _Fields, architecture: str, stored: dict[str, gguf.ReaderTensor]) -> ModelConfig:
    """The model's sizes, said in config.json's words so that `from_hf` checks them like any other model's."""

    def number(key: str, default: float | None = None) -> float:
        return fields.number(f"{architecture}.{key}", default)

    heads, width = int(number("attention.head_count")), int(number("embedding_length"))
    theta = _short(number("rope.freq_base", 10_000.0))
    hf = {
        "model_type": architecture,
        "vocab_size": int(stored["token_embd.weight"].shape[1]) if "token_embd.weight" in stored else 0,
        "hidden_size": width,
        "num_hidden_layers": int(number("block_count")),
        "num_attention_heads": heads,
        "num_key_value_heads": int(number("attention.head_count_kv", heads)),
        "head_dim": int(number("attention.key_length", number("rope.dimension_count", width // heads))),
        "intermediate_size": int(number("feed_forward_length")),
        "rms_norm_eps": _short(number("attention.layer_norm_rms_epsilon")),
        "rope_theta": theta,
        "max_position_embeddings": int(number("context_length")),
        "tie_word_embeddings": "output.weight" not in stored,
        "attention_bias": architecture != "qwen2" and "blk.0.attn_q.bias" in stored,
        "mlp_bias": "blk.0.ffn_gate.bias" in stored,
    }
    rule = fields.get(f"{architecture}.rope.scaling.type", "none")
    experts = number("expert_count", 0) > 0
    if experts or rule != "none":
        what = "a mixture of experts" if experts else f"positions scaled by the rule {rule!r}"
        raise UsageError(f"{fields.path} has {what}, not known in GGUF files here; take the model's HF folder")
    if _ROPE_TABLE in stored:
        table = _dequantised(stored[_ROPE_TABLE], fields.path)
        hf["rope_scaling"] = _llama3_rule(table, theta, fields.path)
    return from_hf(hf)


def _short(value: float) -> float:
    """The decimal number that was rounded to fp32 (9.999999747378752e-06 was written for 1e-05)."""
    return float(str(np.float32(value)))


def _llama3_rule(factors: np.ndarray, theta: float, path: Path) -> dict[str, Any]:
    """The llama3 scaling rule behind a table of frequency divisors [E/2] (Llama 3.1 and later).

    The file keeps the table, not the rule: take the one published rule and see that it gives this table.
    """
    rule = Rope(theta, float(round(float(factors.max()), 3)))
    frequency = theta ** -(np.arange(len(factors)) / len(factors))
    turns = rule.original_positions * frequency / (2 * math.pi)
    blend = np.clip((turns - rule.low_freq_factor) / (rule.high_freq_factor - rule.low_freq_factor), 0, 1)
    if rule.factor is None or not np.allclose(1 / ((1 - blend) / rule.factor + blend), factors, rtol=1e-3):
        raise UsageError(f"{path} scales its positions by a table of its own; take the model's HF folder")
    return {
        "rope_type": "llama3",
        "factor": rule.factor,
        "low_freq_factor": rule.low_freq_factor,
        "high_freq_factor": rule.high_freq_factor,
        "original_max_position_embeddings": rule.original_positions,
    }


# How text is cut before byte-pair merging, by `tokenizer.ggml.pre`; as in the models' own tokenizer.json.
_LLAMA3_CUT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2_CUT = _LLAMA3_CUT.replace(r"\p{N}{1,3}", r"\p{N}")


def _cut(pattern: str) -> pre_tokenizers.PreTokenizer:
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior="isolated"), bytes_only])


def pre_tokenizer(name: str, path: Path) -> pre_tokenizers.PreTokenizer:
    """How text is cut before merging, by `tokenizer.ggml.pre`. UsageError, which names `path`, for an unknown rule."""
    if name in ("gpt-2", "olmo"):
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name == "smollm":  # every digit is a token of its own
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    if name in ("llama-bpe", "llama3", "dbrx"):
        return _cut(_LLAMA3_CUT)
    if name == "qwen2":
        return _cut(_QWEN2_CUT)
    raise UsageError(
        f"{path} cuts text by the rule {name!r}, known are dbrx, gpt-2, llama-bpe, olmo, qwen2 and smollm; "
        "take the model's HF folder"
    )


def _tokenizer(fields: _Fields) -> Tokenizer:
    """Rebuild the byte-level BPE tokenizer from the metadata's vocabulary, merges and cutting rule."""
    if (algorithm := fields.text("tokenizer.ggml.model")) != "gpt2":
        raise UsageError(
            f"{fields.path} has a tokenizer of the kind {algorithm!r}; only byte-level BPE ('gpt2') "
            "is known in GGUF files here: take the model's HF folder"
        )
    tokens: list[str] = fields.need("tokenizer.ggml.tokens")
    types: list[int] = fields.get("tokenizer.ggml.token_type", [1] * len(tokens))
    merges = [tuple(merge.split(" ", 1)) for merge in fields.need("tokenizer.ggml.merges")]
    rule = fields.get("tokenizer.ggml.pre", "gpt-2")
    if len(types) != len(tokens):
        raise UsageError(f"{fields.path} lists {len(tokens)} tokens and {len(types)} token types: fetch it again")
    vocabulary = {text: i for i, text in enumerate(tokens) if types[i] != _UNUSED}
    ignore_merges = rule in ("llama-bpe", "llama3")  # Llama 3 takes a word that is a token whole, unmerged
    core = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=ignore_merges))
    core.pre_tokenizer = pre_tokenizer(rule, fields.path)
    core.decoder = decoders.ByteLevel()
    if rule == "qwen2":
        core.normalizer = normalizers.NFC()
    for kind in (_CONTROL, _USER_DEFINED):
        marked = [text for text, its in zip(tokens, types, strict=True) if its == kind]
        core.add_tokens([AddedToken(text, special=kind == _CONTROL, normalized=False) for text in marked])

    special = {role: fields.get(f"tokenizer.ggml.{key}_token_id") for role, key in _SPECIAL_KEYS.items()}
    named = {f"{role}_token": tokens[i] for role, i in special.items() if i is not None and i < len(tokens)}
    config = {
        **{role: text for role, text in named.items() if role != "eot_token"},
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
    }
    if (template := fields.get("tokenizer.chat_template")) is not None:
        config["chat_template"] = template
    stops = sorted({i for role in ("eos", "eot") if (i := special[role]) is not None})
    generation = {"eos_token_id": stops[0] if len(stops) == 1 else stops}
    generation |= {f"{role}_token_id": special[role] for role in ("bos", "pad") if special[role] is not None}
    return Tokenizer(core, config, generation)


_SPECIAL_KEYS = {"bos": "bos", "eos": "eos", "eot": "eot", "unk": "unknown", "pad": "padding"}


def _write_shards(tensors: Iterator[tuple[str, Tensor]], folder: Path) -> None:
    """One model.safetensors, or numbered shards with an index where the weights exceed SHARD_BYTES."""
    shards: list[list[str]] = []
    held: dict[str, Tensor] = {}

    def flush() -> None:
        write_tensors(held, folder / f"{len(shards)}.part")
        shards.append(list(held))
        held.clear()

    total = 0
    for name, tensor in tensors:
        size = tensor.numel() * tensor.element_size()
        if held and sum(one.numel() * one.element_size() for one in held.values()) + size > SHARD_BYTES:
            flush()
        held[name] = tensor
        total += size
    flush()
    if len(shards) == 1:
        (folder / "0.part").rename(folder / SINGLE)
        return
    weight_map: dict[str, str] = {}
    for i, names in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        (folder / f"{i}.part").rename(folder / file)
        weight_map |= dict.fromkeys(names, file)
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})
