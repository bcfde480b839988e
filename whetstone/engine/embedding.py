"""The mean hidden state of a text, computed through an engine's own runner between its steps.

It goes in chunks, so that a long text does not hold up the others' answers; its cache blocks are taken from the
engine's pool and given back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from whetstone.engine.engine import Engine
from whetstone.engine.service import Busy
from whetstone.engine.step import BLOCK, Step


class Embedding:
    """One text on its way through the model. All methods run in the engines' thread, where there is one."""

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


def embed(engine: Engine, ids: Sequence[int]) -> np.ndarray:
    """The mean [D] of one text, all at once. Raises Busy when the cache is full."""
    embedding = Embedding(engine, ids)
    try:
        while not embedding.advance():
            pass
    finally:
        embedding.release()
    return embedding.vector()
