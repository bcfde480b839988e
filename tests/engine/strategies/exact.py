"""A model of so few words that everything it can say can be written down with its probability."""

from __future__ import annotations

import math
from pathlib import Path

import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers

from tests.models.tiny import our_logits
from tests.tiny import TEMPLATE, tiny_model
from whetstone.engine.backends import Backend, local
from whetstone.engine.strategies.strategy import Question
from whetstone.models.decoder import Decoder
from whetstone.models.loading import Loaded
from whetstone.models.tokenizer import Tokenizer
from whetstone.tasks.keys import problem_seed

MARKS = ["<|unk|>", "<|end|>", "<|user|>", "<|assistant|>"]
NEWLINE = len(MARKS)  # its id
Sayings = dict[tuple[int, ...], float]


def few_words(seed: int, letters: str = "\nab", sharpness: float = 3.0) -> tuple[Decoder, Tokenizer, Backend]:
    """A model whose vocabulary is the chat's marks and the letters; `sharpness` multiplies its logits."""
    core = tokenizers.Tokenizer(
        models.WordLevel({token: i for i, token in enumerate([*MARKS, *letters])}, unk_token=MARKS[0])
    )
    core.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex("[\\s\\S]"), "isolated")
    core.decoder = decoders.Fuse()
    core.add_special_tokens(MARKS)
    tokenizer = Tokenizer(core, {"eos_token": MARKS[1], "unk_token": MARKS[0], "chat_template": TEMPLATE})
    model = tiny_model(seed, vocab_size=len(MARKS) + len(letters), tied=False)
    with torch.no_grad():
        model.head_weight_VD.mul_(sharpness)
    return model, tokenizer, local(Loaded(model, tokenizer, "few", Path("few")))


def asked(room: int, chain: int = 0, read: bool = True) -> Question:
    """A question whose answer is whatever was said; another `chain`, other seeds."""
    return Question(
        prompts=(({"role": "user", "content": "ab"},),),
        read=lambda text: repr(text) if read else None,
        seed=lambda number: int.from_bytes(problem_seed(b"k", "sampling", "few", str(chain), number)[:8], "big"),
        room=room,
    )


def sayings(model: Decoder, prompt: tuple[int, ...], stop_ids: frozenset[int], room: int, t: float = 1.0) -> Sayings:
    """Log-probability at temperature `t` of every answer of at most `room` tokens."""
    found: Sayings = {}
    going: Sayings = {(): 0.0}
    while going:
        ids, total = going.popitem()
        row = (our_logits(model, [*prompt, *ids])[-1].double() / t).log_softmax(-1).tolist()
        for token, logprob in enumerate(row):
            longer = (*ids, token)
            over = token in stop_ids or len(longer) == room
            (found if over else going)[longer] = total + logprob
    return found


def logprobs_of(model: Decoder, prompt: tuple[int, ...], ids: tuple[int, ...], t: float = 1.0) -> list[float]:
    """Log-probability at temperature `t` of each token of one answer."""
    rows = (our_logits(model, [*prompt, *ids])[len(prompt) - 1 : -1].double() / t).log_softmax(-1)
    return [float(row[token]) for row, token in zip(rows, ids, strict=True)]


def sharpened(logs: Sayings, alpha: float) -> Sayings:
    """The probabilities p^alpha, normalised over all answers."""
    weights = {ids: math.exp(alpha * value) for ids, value in logs.items()}
    total = sum(weights.values())
    return {ids: weight / total for ids, weight in weights.items()}
