"""A tiny Llama with a byte-level BPE tokenizer: what GGUF files and llama.cpp can hold."""

from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from whetstone.models.checkpoint import save_folder
from whetstone.models.config import ModelConfig, Rope
from whetstone.models.decoder import Decoder
from whetstone.models.tokenizer import Tokenizer

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer() -> Tokenizer:
    special = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    # bytes of ASCII alone: whatever a random model says is text, and can be streamed token by token
    alphabet = [*map(chr, range(33, 127)), "Ġ", "Ċ"]
    vocabulary = {text: place for place, text in enumerate([*special, *alphabet, "is", "Ġ+"])}
    core = tokenizers.Tokenizer(models.BPE(vocabulary, [("i", "s"), ("Ġ", "+")]))
    digits = pre_tokenizers.Digits(individual_digits=True)
    core.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(special)
    config = {
        "eos_token": "<|end|>",
        "bos_token": "<|end|>",
        "chat_template": TEMPLATE,
        # else transformers puts its own tokenizer of the model's family in place of the folder's
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    return Tokenizer(core, config, {"eos_token_id": 0})


def folder(path: Path, seed: int = 0) -> Path:
    """A model folder with random weights; its matrices can be stored in groups of 32."""
    config = ModelConfig(
        family="llama",
        vocab_size=tokenizer().vocab_size,
        width=64,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=16,
        channel_width=96,
        rope=Rope(),
    )
    save_folder(Decoder(config).randomise(seed), path, tokenizer())
    return path
