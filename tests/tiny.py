"""A tiny model folder of a real family, with a tokenizer of its own: 20 thousand parameters, answers at once."""

from __future__ import annotations

from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from whetstone.models.checkpoint import save_folder
from whetstone.models.config import ModelConfig, Rope
from whetstone.models.decoder import Decoder
from whetstone.models.tokenizer import Tokenizer

ALPHABET = " 0123456789abcdefghijklmnopqrstuvwxyz?+-*/=.,:\nABCDEFGHIJKLMNOPQRSTUVWXYZ()[]\"'"
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tiny_tokenizer() -> Tokenizer:
    """One token per character; the chat marks are special tokens."""
    special = ["<|unk|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    vocabulary = {token: place for place, token in enumerate([*special, *ALPHABET])}
    core = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="<|unk|>"))
    core.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex("[\\s\\S]"), "isolated")
    core.decoder = decoders.Fuse()
    core.add_special_tokens(special)
    config = {"eos_token": "<|end|>", "unk_token": "<|unk|>", "chat_template": TEMPLATE}
    return Tokenizer(core, config)


def tiny_config(family: str = "qwen3", **changes: object) -> ModelConfig:
    sizes: dict[str, object] = dict(
        family=family,
        vocab_size=tiny_tokenizer().vocab_size,
        width=32,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=12,
        channel_width=48,
        rope=Rope(),
        qk_norm="head" if family == "qwen3" else "none",
        tied=True,
    )
    return ModelConfig(**{**sizes, **changes})  # type: ignore[arg-type]


def tiny_model(seed: int = 0, **changes: object) -> Decoder:
    """Every parameter random."""
    return Decoder(tiny_config(**changes)).randomise(seed)  # type: ignore[arg-type]


def tiny_folder(path: Path, seed: int = 0, **changes: object) -> Path:
    """A model folder as `whet sharpen --model` takes it."""
    save_folder(tiny_model(seed, **changes), path, tiny_tokenizer())
    return path


DIGIT_TASK = '''
import random
import whetstone as wh


class Digits(wh.Task):
    """Say something with an even digit in it: a random model does so now and then."""

    levels = (1, 2)
    max_new_tokens = 6

    def sample(self, seed: bytes, level: int) -> wh.Problem:
        n = random.Random(seed).randrange(10 ** (2 + level))
        return wh.Problem(f"{n}?", {"n": n})

    def check(self, problem: wh.Problem, text: str) -> wh.Verdict:
        return wh.Verdict.RIGHT if any(digit in text for digit in "02468") else wh.Verdict.WRONG
'''


def digit_task(folder: Path) -> str:
    """A user's task file; returns the --task argument."""
    path = folder / "mytask.py"
    path.write_text(DIGIT_TASK)
    return f"{path}:Digits"
