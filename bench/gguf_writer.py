"""Our model as a GGUF file, so that llama.cpp computes with the very same weights, words and chat template."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from whetstone.errors import UsageError
from whetstone.models.gguf_file import pre_tokenizer
from whetstone.models.loading import Loaded
from whetstone.models.names import to_gguf_name
from whetstone.models.tokenizer import Tokenizer

KINDS = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
_PRE_TOKENIZERS = ("smollm", "gpt-2", "llama-bpe", "qwen2")


def write_gguf(loaded: Loaded, path: Path, kind: str) -> None:
    """Write a Llama model; matrices as `kind` (f32, f16, q8_0), norms in fp32 as llama.cpp wants them.

    Raises UsageError for a model of another family, or a tokenizer that is not byte-level BPE.
    """
    config = loaded.model.config
    if config.family != "llama" or config.rope.factor is not None:
        raise UsageError("only Llama models with plain rotary positions can be written as GGUF files here")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(KINDS[kind])
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.channel_width)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(config.rope.theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, loaded.tokenizer, config.vocab_size, path)
    to_kind = _converter(kind)
    for name, parameter in loaded.model.named_parameters():
        values = parameter.detach().float().cpu().numpy()
        leaf = name.split(".")[-2]
        if leaf in ("q", "k"):
            values = paired_rows(values, config.heads if leaf == "q" else config.kv_heads)
        to_kind(writer, to_gguf_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def paired_rows(values: np.ndarray, heads: int) -> np.ndarray:
    """The order of the rows of q and k in Llama GGUF files: those that rotate together stand side by side.

    Rows [H*E, ...] in, the same shape out; `half_split_rows` undoes it.
    """
    halves = values.reshape(heads, 2, -1, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)


def _converter(kind: str) -> Callable[[gguf.GGUFWriter, str, np.ndarray], None]:
    def add(writer: gguf.GGUFWriter, name: str, values: np.ndarray) -> None:
        if kind == "f32" or values.ndim == 1:
            writer.add_tensor(name, values)
        elif kind == "f16":
            writer.add_tensor(name, values.astype(np.float16))
        else:
            numbers = gguf.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, numbers, raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    return add


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer, size: int, path: Path) -> None:
    described: dict[str, Any] = json.loads(tokenizer.core.to_str())
    if described["model"]["type"] != "BPE":
        raise UsageError("only byte-level BPE tokenizers can be written as GGUF files here")
    texts = {place: text for text, place in tokenizer.core.get_vocab(with_added_tokens=True).items()}
    special = {entry["id"]: entry["special"] for entry in described["added_tokens"]}
    kinds = {True: gguf.TokenType.CONTROL, False: gguf.TokenType.USER_DEFINED, None: gguf.TokenType.NORMAL}
    # the embedding may have more rows than there are tokens
    tokens = [texts.get(place, f"[unused{place}]") for place in range(size)]
    types = [kinds[special.get(place)] if place in texts else gguf.TokenType.UNUSED for place in range(size)]
    merges = [each if isinstance(each, str) else " ".join(each) for each in described["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer_name(tokenizer, path))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if merges:
        writer.add_token_merges(merges)
    writer.add_add_bos_token(False)
    for role, add in (("bos_token", writer.add_bos_token_id), ("eos_token", writer.add_eos_token_id)):
        if (place := tokenizer.token_id(role)) is not None:
            add(place)
    if isinstance(template := tokenizer.config.get("chat_template"), str):
        writer.add_chat_template(template)


def _pre_tokenizer_name(tokenizer: Tokenizer, path: Path) -> str:
    """llama.cpp's name of the rule by which text is cut before merging."""

    def described(rule: Any) -> Any:
        return json.loads(rule.__getstate__())

    for name in _PRE_TOKENIZERS:
        if described(pre_tokenizer(name, path)) == described(tokenizer.core.pre_tokenizer):
            return name
    raise UsageError("the tokenizer cuts text by a rule that has no name among " + ", ".join(_PRE_TOKENIZERS))
