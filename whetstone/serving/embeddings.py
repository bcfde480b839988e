"""POST /v1/embeddings: a text's vector is the mean of its tokens' hidden states after the last norm, of length one.

The work goes through the engine's own runner in chunks between its steps, so that a long text does not hold up the
others' answers; its cache blocks are taken from the engine's pool and given back.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from starlette.requests import Request
from starlette.responses import Response

from whetstone.engine.engine import Engine
from whetstone.engine.service import Busy
from whetstone.engine.step import BLOCK, Step
from whetstone.serving.answers import JsonResponse, while_connected
from whetstone.serving.completions import prompt_ids
from whetstone.serving.errors import ApiError, bad
from whetstone.serving.models import Served
from whetstone.serving.schemas import EmbeddingRequest
from whetstone.serving.state import State


class Embedding:
    """One text on its way through the model. All methods run in the engines' thread."""

    def __init__(self, engine: Engine, ids: Sequence[int]) -> None:
        self._engine, self._ids = engine, ids
        self._blocks: list[int] = []
        self._done = 0
        self._sum_D = np.zeros(engine.model.config.width)

    def advance(self) -> bool:
        """Compute the next chunk; whether it was the last one. Raises Busy when the cache is full."""
        if not self._blocks:
            self._take()
        count = min(len(self._ids) - self._done, self._engine.scheduler.chunk)
        positions = np.arange(self._done, self._done + count)
        step = Step(
            ids_N=np.array(self._ids[self._done : self._done + count], dtype=np.int64),
            positions_N=positions,
            branch_N=np.zeros(count, dtype=np.int64),
            tables_RC=np.array([self._blocks], dtype=np.int32),
            wanted_M=np.arange(count),
        )
        with torch.inference_mode():
            hidden_MD = self._engine.runner.hidden(step)
        self._sum_D += hidden_MD.double().sum(0).cpu().numpy()
        self._done += count
        return self._done == len(self._ids)

    def vector(self) -> np.ndarray:
        """The mean [D] at length one, fp32."""
        length = float(np.linalg.norm(self._sum_D))
        return (self._sum_D / max(length, 1e-30)).astype(np.float32)

    def release(self) -> None:
        """Give the blocks back; any number of times."""
        for block in self._blocks:
            self._engine.pool.release(block)
        self._blocks = []

    def _take(self) -> None:
        if self._engine.runner.refresh():
            self._engine.scheduler.start_over()
        for _ in range(math.ceil(len(self._ids) / BLOCK)):
            block = self._engine.pool.take()
            if block is None:
                self.release()
                raise Busy("the cache is full: try again later")
            self._blocks.append(block)


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
