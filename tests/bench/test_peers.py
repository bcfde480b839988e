"""The peers really run: on a tiny random Llama, in their own environment."""

import json
from pathlib import Path

import pytest

from bench import peer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not peer.ENVIRONMENT.exists(), reason="needs `make bench-setup`"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: i for i, symbol in enumerate(["<end>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")
    fast.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_trl_trains_the_steps_asked_for(model: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([[{"role": "user", "content": f"What is {i} + {i}?"}] for i in range(8)]))
    [found] = peer.run_peer(
        "trl_grpo", str(model), str(prompts), "--micro-batch", "32", "--full-length", threads=1, timeout=300
    )
    assert len(found["step_seconds"]) == 2
    assert 0 < found["generation_seconds"] < found["seconds_per_step"]
    assert found["completions_per_step"] == 128
    assert found["mean_completion_tokens"] == 12
    assert found["groups_without_signal"] == 0


def test_transformers_generates_in_every_batch_size_and_mode(model: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([[5, 6, 7], [8, 9]]))
    found = peer.run_peer("hf_generate", str(model), str(prompts), "--tokens", "8", threads=1, timeout=300)
    assert [(row["batch"], row["mode"]) for row in found] == [
        (batch, mode) for batch in (1, 8, 32) for mode in ("sampled", "greedy")
    ]
    assert all(row["tokens_per_second"] > 0 for row in found)
    assert found[0]["prompt_tokens"] == 3 and found[2]["prompt_tokens"] == 20
