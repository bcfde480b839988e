"""GGUF files become the folder that they were made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Kind
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from tests.models.tiny import LLAMA3, SIZES, our_logits, randomise, relative_error, some_ids, their_logits
from whetstone.errors import UsageError
from whetstone.models import gguf_file
from whetstone.models.checkpoint import load_folder
from whetstone.models.gguf_file import convert_to_folder, half_split_rows, read_gguf
from whetstone.models.tokenizer import Tokenizer

IDS = some_ids()
LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
TEMPLATE = "{% for m in messages %}<s>{{ m['role'] }}:{{ m['content'] }}</s>{% endfor %}"


def paired_rows(values: np.ndarray, heads: int) -> np.ndarray:
    """The row order of llama.cpp's converter (LlamaModel.permute)."""
    shape = (heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return values.reshape(shape).swapaxes(1, 2).reshape(values.shape)


def gguf_name(name: str, architecture: str) -> str:
    stem, leaf = name.rsplit(".", 1)
    if stem in OUTER:
        return f"{OUTER[stem]}.{leaf}"
    _, _, layer, part = stem.split(".", 3)
    names = dict(LAYER)
    if architecture == "olmo2":
        names["post_attention_layernorm"] = "post_attention_norm"
        names["post_feedforward_layernorm"] = "post_ffw_norm"
    return f"blk.{layer}.{names[part]}.{leaf}"


def write_tokenizer(writer: gguf.GGUFWriter, vocab_size: int) -> None:
    merges = ["a b", "ab c", "1 2"]
    tokens = ["<s>", "</s>", "<pad>", *BYTES[: vocab_size - 8], "ab", "abc", "12"]
    tokens += [f"[unused{i}]" for i in range(vocab_size - len(tokens))]
    kinds = [5 if token.startswith("[unused") else 1 for token in tokens]
    kinds[:3] = [3, 3, 3]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)


def write_gguf(
    model: PreTrainedModel,
    path: Path,
    kind: Kind = Kind.F32,
    change: Callable[[gguf.GGUFWriter], None] = lambda writer: None,
    without: str = "",
    architecture: str = "",
) -> Path:
    """Write a transformers model the way llama.cpp's converter does."""
    config = model.config
    name = architecture or config.model_type
    writer = gguf.GGUFWriter(path, name)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if getattr(config, "head_dim", None):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    write_tokenizer(writer, config.vocab_size)
    change(writer)
    for key, tensor in model.state_dict().items():
        if (key == "lm_head.weight" and config.tie_word_embeddings) or key == without:
            continue
        values = tensor.numpy()
        if config.model_type == "llama" and ("q_proj" in key or "k_proj" in key):
            values = paired_rows(values, config.num_attention_heads if "q_proj" in key else config.num_key_value_heads)
        values = np.ascontiguousarray(values)
        if values.ndim == 1 or kind == Kind.F32:
            writer.add_tensor(gguf_name(key, config.model_type), values)
        else:
            packed = gguf.quantize(values, kind)
            writer.add_tensor(gguf_name(key, config.model_type), packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def model_of(kind: str, **options: object) -> PreTrainedModel:
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **options})
    return randomise(AutoModelForCausalLM.from_config(config))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Llama", {"tie_word_embeddings": True}),
        ("Llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 20, "tie_word_embeddings": False}),
        ("Qwen2", {"tie_word_embeddings": False}),
        ("Qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
        ("Olmo2", {"tie_word_embeddings": False}),
    ],
)
def test_converted_folder_answers_as_the_model_it_was_made_from(
    kind: str, options: dict[str, object], tmp_path: Path
) -> None:
    theirs = model_of(kind, **options)
    convert_to_folder(write_gguf(theirs, tmp_path / "m.gguf"), tmp_path / "out")
    ours, _ = load_folder(tmp_path / "out")
    assert relative_error(our_logits(ours, IDS), their_logits(theirs, IDS)) <= 1e-4
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out", attn_implementation="eager")
    assert relative_error(their_logits(again, IDS), their_logits(theirs, IDS)) <= 1e-5


def test_llama3_positions_come_back_from_the_table(tmp_path: Path) -> None:
    rope = {**LLAMA3, "original_max_position_embeddings": 8192, "rope_theta": 5e5, "factor": 32.0}
    theirs = model_of("Llama", head_dim=64, rope_parameters=rope, tie_word_embeddings=False)
    default = 1 / 5e5 ** (torch.arange(0, 64, 2) / 64)
    table = (default / theirs.model.rotary_emb.inv_freq).numpy().astype(np.float32)
    assert table.max() == 32 and table.min() == 1
    path = write_gguf(theirs, tmp_path / "m.gguf", change=lambda writer: writer.add_tensor("rope_freqs.weight", table))
    config = read_gguf(path).config
    assert (config.rope.factor, config.rope.theta, config.rope.original_positions) == (32.0, 5e5, 8192)

    odd = np.ones_like(table) * 3
    path = write_gguf(theirs, tmp_path / "odd.gguf", change=lambda writer: writer.add_tensor("rope_freqs.weight", odd))
    with pytest.raises(UsageError, match="table of its own"):
        read_gguf(path)


@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1])
def test_quantised_tensors(kind: Kind, tmp_path: Path) -> None:
    # Blocks hold 32 numbers, so every row length is a multiple of 32.
    theirs = model_of("Llama", hidden_size=96, intermediate_size=128, head_dim=32, tie_word_embeddings=False)
    path = write_gguf(theirs, tmp_path / "m.gguf", kind)
    for parameter in theirs.parameters():
        if parameter.ndim == 2:
            values = gguf.dequantize(gguf.quantize(parameter.detach().numpy(), kind), kind)
            parameter.data = torch.from_numpy(values.reshape(parameter.shape).copy())
    convert_to_folder(path, tmp_path / "out")
    ours, _ = load_folder(tmp_path / "out")
    assert relative_error(our_logits(ours, IDS), their_logits(theirs, IDS)) <= 1e-4


def test_large_models_are_written_in_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = model_of("Qwen3", head_dim=16, tie_word_embeddings=True)
    monkeypatch.setattr(gguf_file, "SHARD_BYTES", 60_000)
    convert_to_folder(write_gguf(theirs, tmp_path / "m.gguf"), tmp_path / "out")
    assert len(list((tmp_path / "out").glob("model-*-of-*.safetensors"))) > 2
    ours, _ = load_folder(tmp_path / "out")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out", attn_implementation="eager")
    assert relative_error(our_logits(ours, IDS), their_logits(again, IDS)) <= 1e-4


def test_tokenizer_and_template_are_rebuilt(tmp_path: Path) -> None:
    convert_to_folder(write_gguf(model_of("Llama"), tmp_path / "m.gguf"), tmp_path / "out")
    ours, theirs = Tokenizer.load(tmp_path / "out"), AutoTokenizer.from_pretrained(tmp_path / "out")
    messages = [{"role": "user", "content": "abcab 1212"}]
    prompt = theirs.apply_chat_template(messages, tokenize=False)
    assert ours.render(messages) == prompt == "<s>user:abcab 1212</s>"
    assert ours.chat_ids(messages) == theirs.encode(prompt, add_special_tokens=False)
    assert ours.stop_ids == {1} and ours.pad_id == 2
    # "12" is a token, yet each digit stands alone: the smollm rule cuts before it merges.
    assert [ours.decode([i]) for i in ours.encode("abc12")] == ["abc", "1", "2"]
    assert ours.encode("<s>") == [0] and ours.decode([0, *ours.encode("abc")]) == "abc"


def test_half_split_rows_undoes_the_converter() -> None:
    values = np.arange(24 * 5, dtype=np.float32).reshape(24, 5)
    for heads in (1, 2, 3):
        assert (half_split_rows(paired_rows(values, heads), heads) == values).all()
        assert (half_split_rows(paired_rows(values[:, 0], heads), heads) == values[:, 0]).all()


def test_errors(tmp_path: Path) -> None:
    model = model_of("Llama", tie_word_embeddings=False)

    def refused(path: Path) -> str:
        with pytest.raises(UsageError) as caught:
            convert_to_folder(path, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no file" in refused(tmp_path / "nothing.gguf")
    whole = write_gguf(model, tmp_path / "whole.gguf").read_bytes()
    for kept in (0, 3, 100, 3000, len(whole) // 2, len(whole) - 50):
        (tmp_path / "cut.gguf").write_bytes(whole[:kept])
        assert "whole GGUF" in refused(tmp_path / "cut.gguf")
    (tmp_path / "other.gguf").write_bytes(b"PK\x03\x04" + bytes(5000))
    assert "whole GGUF" in refused(tmp_path / "other.gguf")

    message = refused(write_gguf(model, tmp_path / "gemma.gguf", architecture="gemma3"))
    assert "gemma3" in message and "llama, qwen2, qwen3, olmo2" in message
    gone = "model.layers.1.self_attn.v_proj.weight"
    assert "blk.1.attn_v.weight" in refused(write_gguf(model, tmp_path / "gone.gguf", without=gone))
    experts = write_gguf(model, tmp_path / "moe.gguf", change=lambda writer: writer.add_expert_count(4))
    assert "experts" in refused(experts)


def test_shape_that_contradicts_the_metadata(tmp_path: Path) -> None:
    model = model_of("Llama", tie_word_embeddings=False)
    model.config.intermediate_size = 96  # the tensors have 104
    with pytest.raises(UsageError, match="shape"):
        convert_to_folder(write_gguf(model, tmp_path / "m.gguf"), tmp_path / "out")


def test_other_kinds_of_tokenizer_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    original = write_gguf(model_of("Llama"), path).read_bytes()
    for old, new, said in ((b"smollm", b"tekken", "tekken"), (b"gpt2", b"bert", "byte-level BPE")):
        path.write_bytes(original.replace(old, new))
        with pytest.raises(UsageError, match=said):
            read_gguf(path)
