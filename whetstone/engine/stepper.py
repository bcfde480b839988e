"""A model with its cache and its schedule: what an engine and a draft model have in common."""

from __future__ import annotations

from torch import Tensor

from whetstone.engine.blocks import BlockPool
from whetstone.engine.branch import Branch
from whetstone.engine.runners import MakeRunner
from whetstone.engine.scheduler import Scheduler, Work, as_step
from whetstone.engine.step import BLOCK
from whetstone.models.decoder import Decoder

CHUNK = {"cpu": 512, "cuda": 8192}  # tokens of prompts in one step


class Stepper:
    """Plans steps over branches and computes them on one model."""

    def __init__(
        self, model: Decoder, make_runner: MakeRunner, cache_bytes: int, max_rows: int, chunk: int | None
    ) -> None:
        """`max_rows`: sequences that run at once; `chunk`: tokens of prompts in one step (None: by device). Raises
        ValueError unless both are at least 1."""
        if max_rows < 1 or (chunk is not None and chunk < 1):
            raise ValueError("max_rows and chunk are at least 1")
        per_token = model.config.kv_bytes_per_token * model.compute_dtype.itemsize // 4
        blocks = max(2, cache_bytes // (per_token * BLOCK))
        self.model = model
        self.runner = make_runner(model, blocks)
        self.pool = BlockPool(blocks)
        tokens = CHUNK.get(model.device.type, CHUNK["cpu"]) if chunk is None else chunk
        self.scheduler = Scheduler(self.pool, self.runner.copy_block, max_rows, tokens)

    @property
    def capacity(self) -> int:
        """Tokens that one branch may have: positions of the model, and the cache."""
        return min(self.model.config.max_positions, self.pool.count * BLOCK)

    def renew(self) -> None:
        """Notice weights that changed: what was computed with the old ones is computed again."""
        if self.runner.refresh():
            self.scheduler.start_over()

    def compute(self, works: list[Work]) -> tuple[list[Branch], Tensor]:
        """The branches whose next token can be chosen now, and the logits [M, V] for that: `Work.wanted` rows for each.
        `works` as the scheduler planned them, at least one."""
        logits_MV = self.runner.run(as_step(works))
        return [work.branch for work in works if work.ready], logits_MV
