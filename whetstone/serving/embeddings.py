"""POST /v1/embeddings: a text's vector is the mean of its tokens' hidden states after the last norm, of length one.

The work is done between the engine's steps (`engine/embedding.py`).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from whetstone.engine.embedding import Embedding
from whetstone.engine.engine import Engine
from whetstone.engine.service import Busy
from whetstone.serving.answers import JsonResponse, while_connected
from whetstone.serving.completions import prompt_ids
from whetstone.serving.errors import ApiError, bad
from whetstone.serving.models import Served
from whetstone.serving.schemas import EmbeddingRequest
from whetstone.serving.state import State


async def answer(state: State, request: Request, asked: EmbeddingRequest) -> Response:
    """The response to one request. Raises ApiError."""
    served = state.models.get(asked.model)
    texts = prompt_ids(served, asked.input, "input", state.limits.embeddings)
    _check(served, asked, texts)
    if state.embeddings >= state.limits.embedding_requests:
        raise ApiError(429, "too many requests for embeddings: try again later", "queue_full")
    state.embeddings += 1
    try:
        return await while_connected(state, request, _answer(state, served, asked, texts))
    except Busy as failure:
        raise ApiError(429, str(failure), "queue_full") from None
    finally:
        state.embeddings -= 1


def _check(served: Served, asked: EmbeddingRequest, texts: Sequence[Sequence[int]]) -> None:
    config = served.loaded.model.config
    if asked.dimensions not in (None, config.width):
        raise bad(f"this model's vectors have {config.width} dimensions", "dimensions", "unsupported_parameter")
    for ids in texts:
        if not ids:
            raise bad("an input is empty", "input", "invalid_value")
        if len(ids) > served.engine.capacity:
            raise bad(
                f"this model's maximum context length is {served.engine.capacity} tokens; an input has {len(ids)}",
                "input",
                "context_length_exceeded",
            )
        if not 0 <= min(ids) <= max(ids) < config.vocab_size:
            raise bad(f"token ids go from 0 to {config.vocab_size - 1}", "input", "invalid_value")


async def _answer(state: State, served: Served, asked: EmbeddingRequest, texts: Sequence[Sequence[int]]) -> Response:
    vectors = [await _embed(state, served.engine, ids) for ids in texts]
    tokens = sum(map(len, texts))
    data: list[Mapping[str, Any]] = [
        {"object": "embedding", "index": place, "embedding": _written(vector, asked)}
        for place, vector in enumerate(vectors)
    ]
    used = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JsonResponse({"object": "list", "data": data, "model": asked.model, "usage": used})


async def _embed(state: State, engine: Engine, ids: Sequence[int]) -> np.ndarray:
    embedding = Embedding(engine, ids)
    try:
        while not await state.in_engine(embedding.advance):
            pass
    finally:
        state.service.post(embedding.release)
    return embedding.vector()


def _written(vector_D: np.ndarray, asked: EmbeddingRequest) -> str | list[float]:
    if asked.encoding_format == "base64":  # what the official client asks for unless told otherwise
        return base64.b64encode(vector_D.astype("<f4").tobytes()).decode()
    return [float(value) for value in vector_D]
