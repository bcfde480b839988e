"""From a request's fields to the engine's parameters and seeds."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence

from whetstone.engine.protocol import Constraint, SamplingParams
from whetstone.serving.errors import ApiError, bad
from whetstone.serving.limits import Limits
from whetstone.serving.models import Served
from whetstone.serving.schemas import Sampled

MASK = 2**64 - 1
COLDEST = 1e-4


def seed_of(seed: int | None) -> Callable[[int], int]:
    """A 64-bit seed for each number of an answer: the first is the request's own, so that it samples what the engine
    alone would; further ones are hashes of it. Without a seed they are random."""
    first = secrets.randbits(64) if seed is None else seed & MASK
    return lambda choice: _hashed(first, choice) if choice else first


def seeds(seed: int | None, count: int) -> tuple[int, ...]:
    """The seeds of `count` choices."""
    return tuple(map(seed_of(seed), range(count)))


def _hashed(seed: int, choice: int) -> int:
    digest = hashlib.sha256(f"whetstone choice {seed} {choice}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def choices(request: Sampled, prompts: int, limits: Limits) -> int:
    """How many answers each prompt gets. Raises ApiError."""
    count = request.n or 1
    if count > limits.choices:
        raise bad(f"this server gives at most {limits.choices} choices for a prompt", "n", "too_many_choices")
    if count * prompts > limits.sequences:
        raise bad(f"this server gives at most {limits.sequences} answers to a request", "n", "too_many_choices")
    return count


def answer_tokens(
    served: Served, prompts: Sequence[Sequence[int]], asked: int | None, limits: Limits, param: str
) -> int:
    """How long an answer may be: what was asked for, or all the room there is. It never goes beyond the model's room.

    Raises ApiError for a prompt that leaves none, or a wish beyond the server's limit.
    """
    longest = max(map(len, prompts))
    if not min(map(len, prompts)):
        raise bad("the prompt is empty: it needs at least one token", param, "empty_prompt")
    room = served.engine.capacity - longest
    if room < 1:
        raise bad(
            f"this model's maximum context length is {served.engine.capacity} tokens, its answer included; "
            f"the prompt has {longest}",
            param,
            "context_length_exceeded",
        )
    if limits.answer_tokens is not None:
        if asked is not None and asked > limits.answer_tokens:
            raise bad(f"this server gives at most {limits.answer_tokens} tokens", "max_tokens", "too_many_tokens")
        room = min(room, limits.answer_tokens)
    return min(room, asked or room)


def engine_params(
    request: Sampled,
    served: Served,
    max_new_tokens: int,
    logprobs: int | None,
    constraint: Constraint | None,
    limits: Limits,
) -> SamplingParams:
    """The engine's parameters. `logprobs`: how many alternatives to report, None for no log-probabilities at all.

    Raises ApiError: too many stop strings or biases, a token that the model does not have.
    """
    _check_stops(request, limits)
    top_p = 1.0 if request.top_p is None else request.top_p
    top_k = max(request.top_k or 0, 0)
    vocabulary = served.loaded.model.config.vocab_size
    params = SamplingParams(
        max_new_tokens=max_new_tokens,
        temperature=_temperature(request),
        stop_ids=stop_ids(request, served, constraint),
        top_k=1 if top_p == 0 else min(top_k, vocabulary),
        top_p=top_p or 1.0,
        min_p=request.min_p or 0.0,
        repetition_penalty=request.repetition_penalty or 1.0,
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        logit_bias=_biases(request, vocabulary, limits),
        constraint=constraint,
    )
    if logprobs is None or (logprobs == 0 and params.temperature in (0, 1) and not params.edits):
        return params  # what was sampled is the model's own distribution, or nobody asks
    return SamplingParams(**{**vars(params), "top_logprobs": max(logprobs, 1)})


def _temperature(request: Sampled) -> float:
    """So small that a logit divided by it may be infinite is greedy."""
    asked = 1.0 if request.temperature is None else request.temperature
    return asked if asked >= COLDEST else 0.0


def stop_ids(request: Sampled, served: Served, constraint: Constraint | None) -> frozenset[int]:
    """The ids that end an answer. A structured one ends where it is complete, whatever else was asked for."""
    own = served.loaded.tokenizer.stop_ids if constraint is not None or not request.ignore_eos else frozenset()
    return own | frozenset(request.stop_token_ids or ())


def _check_stops(request: Sampled, limits: Limits) -> None:
    if len(request.stops) > limits.stops or len(request.stop_token_ids or ()) > limits.stops * 16:
        raise bad(f"at most {limits.stops} stop strings are taken", "stop", "too_many_stops")
    if any(len(stop) > limits.stop_characters for stop in request.stops):
        raise bad(f"a stop string may have {limits.stop_characters} characters", "stop", "stop_too_long")


def _biases(request: Sampled, vocabulary: int, limits: Limits) -> dict[int, float]:
    given = request.logit_bias or {}
    if len(given) > limits.biases:
        raise bad(f"at most {limits.biases} biases are taken", "logit_bias", "too_many_biases")
    return {_token(text, vocabulary): bias for text, bias in given.items()}


def _token(text: str, vocabulary: int) -> int:
    wrong: ApiError = bad(f"logit_bias names tokens by ids from 0 to {vocabulary - 1}", "logit_bias", "invalid_value")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise wrong
    if int(text) >= vocabulary:
        raise wrong
    return int(text)
