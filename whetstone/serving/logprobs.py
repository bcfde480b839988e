"""Log-probabilities in the two forms of OpenAI's API, and the names of tokens.

They are those of the model's own distribution (temperature 1, before penalties and masks), in nats. What was really
sampled from is reported beside token ids, for reinforcement learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from whetstone.engine.text.detokenize import token_texts
from whetstone.models.tokenizer import Tokenizer
from whetstone.serving.bridge import Token

LEAST = -9999.0  # stands for minus infinity, which JSON does not know


def token_bytes(tokenizer: Tokenizer, token_id: int) -> bytes:
    """What a token adds to a text; part of a character for some."""
    texts = token_texts(tokenizer)
    token = texts.token(token_id)
    if token is None:
        return b""
    if token in texts.special:
        return token.encode()
    if texts.reach == "bytes":
        return texts.token_bytes(token)
    if texts.is_byte(token):
        return bytes([int(token[3:5], 16)])
    return texts.behind([token]).encode()


def model_logprob(token: Token) -> float:
    """Of the chosen token, as the model alone sees it."""
    return finite(token.logprob if token.top is None else token.top.chosen)


def finite(logprob: float) -> float:
    """JSON has no infinity."""
    return max(logprob, LEAST)


def chat_entry(tokenizer: Tokenizer, token: Token, alternatives: int) -> dict[str, Any]:
    """An element of `choices[].logprobs.content`."""
    top = token.top
    return {
        **_entry(tokenizer, token.id, model_logprob(token)),
        "top_logprobs": []
        if top is None
        else [
            _entry(tokenizer, other, logprob)
            for other, logprob in zip(top.ids[:alternatives], top.logprobs[:alternatives], strict=True)
        ],
    }


def _entry(tokenizer: Tokenizer, token_id: int, logprob: float) -> dict[str, Any]:
    raw = token_bytes(tokenizer, token_id)
    return {"token": raw.decode("utf-8", "replace"), "logprob": finite(logprob), "bytes": list(raw)}


def completion_logprobs(
    tokenizer: Tokenizer, tokens: Sequence[Token], alternatives: int, offset: int
) -> dict[str, Any]:
    """`choices[].logprobs` of the older API. `offset`: characters of the text before these tokens."""
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.text)
    return {
        "tokens": [token_bytes(tokenizer, token.id).decode("utf-8", "replace") for token in tokens],
        "token_logprobs": [model_logprob(token) for token in tokens],
        "top_logprobs": [_alternatives(tokenizer, token, alternatives) for token in tokens] if alternatives else None,
        "text_offset": offsets,
    }


def _alternatives(tokenizer: Tokenizer, token: Token, count: int) -> dict[str, float]:
    """By name; of tokens that read alike the likeliest stays."""
    found: dict[str, float] = {}
    if token.top is not None:
        for other, logprob in zip(token.top.ids[:count], token.top.logprobs[:count], strict=True):
            found.setdefault(token_bytes(tokenizer, other).decode("utf-8", "replace"), finite(logprob))
    return found
