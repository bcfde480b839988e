"""GraphRunner: decoding steps as captured CUDA graphs of static shapes, everything else launched kernel by kernel.

A step in which every branch has one row is padded to a bucket of rows and of table width (`inputs`). Each bucket is
captured when it is first met, after a run that compiles what needs compiling; all graphs share one pool of memory,
which is safe because they run one after another and leave their results in buffers of our own. Weights that change in
place keep graphs valid: they read the model's parameters and narrow copies where they lie. Parameters that moved drop
them. On a CPU the same code runs with the captured function simply called, which is what the tests do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from whetstone.engine.gpu.fused import FusedDecoder, PagedRows, obstacle
from whetstone.engine.gpu.head import Head, HeadKind
from whetstone.engine.gpu.inputs import LARGEST, DecodeInputs, decodes, packed_rows, row_bucket, width_bucket
from whetstone.engine.gpu.operations import Operations, Rows
from whetstone.engine.gpu.triton_operations import operations_for, tile_rows
from whetstone.engine.step import BLOCK, Step
from whetstone.engine.torch_runner import TorchRunner
from whetstone.models.decoder import Decoder
from whetstone.models.snapshot import Snapshot


class GraphRunner(TorchRunner):
    """See `Runner`. The logits that `run` returns lie in a buffer that the next call overwrites."""

    def __init__(
        self,
        model: Decoder,
        blocks: int,
        head: HeadKind = "fp32",
        operations: Operations | None = None,
        fused: bool = True,
        captured: bool = True,
    ) -> None:
        """`operations`: what suits the device unless given. Without `fused` the plain decoder is what is computed,
        without `captured` every kernel is launched by itself: both are there to be compared with."""
        super().__init__(model, blocks + 1)
        self.blocks, self.captured = blocks, captured and model.device.type == "cuda"
        self._operations = operations_for(model.device) if operations is None else operations
        self._fuses, self._head_kind = fused, head
        config = model.config
        longest = min(blocks, -(-config.max_positions // BLOCK))
        self._inputs = DecodeInputs(longest, scratch=blocks, device=model.device)
        self._hidden_RD = torch.empty((LARGEST, config.width), device=model.device)
        self._logits_RV = torch.empty((LARGEST, config.vocab_size), device=model.device)
        self._tile_rows = tile_rows(config.heads, config.kv_heads, model.compute_dtype)
        self._graphs: dict[tuple[int, int], Callable[[], object]] = {}
        self._fused: FusedDecoder | None = None
        self._head: Head | None = None

    @property
    def buckets(self) -> list[tuple[int, int]]:
        """(rows, blocks of a table) of the graphs that there are."""
        return list(self._graphs)

    @torch.no_grad()
    def run(self, step: Step) -> Tensor:
        if (rows := self._decode(step)) is not None:
            return self._wanted(step, self._logits_RV[:rows])
        hidden_MD = self._launched(step)
        out_MV = hidden_MD.new_empty((len(hidden_MD), self.model.config.vocab_size), dtype=torch.float32)
        if len(hidden_MD):
            self._current_head().write(hidden_MD, out_MV)
        return out_MV

    @torch.no_grad()
    def hidden(self, step: Step) -> Tensor:
        if (rows := self._decode(step)) is not None:
            return self._wanted(step, self._hidden_RD[:rows])
        return self._launched(step)

    def block_sums(self, logits_MV: Tensor, scale_M: Tensor) -> tuple[Tensor, Tensor]:
        return self._operations.block_sums(logits_MV, scale_M)

    def refresh(self) -> bool:
        before = self._seen
        if before is not None and before.holds(self.model.parameters()):
            return False
        self._seen = Snapshot(self.model.parameters())
        if before is not None and before.addresses == self._seen.addresses:
            self._update()
        else:
            self._rebuild()
        return True

    def _update(self) -> None:
        if self._fused is not None:
            self._fused.refresh()
        else:
            for linear, narrow in self._narrow:
                narrow.copy_(linear.weight.detach())
        self._current_head().refresh()

    def _rebuild(self) -> None:
        """Parameters are elsewhere, or of another number: nothing that was made for the old ones is of use."""
        self._graphs.clear()
        # a new pool: the old one may outlive its graphs while memory of it is in use
        self._memory = torch.cuda.graph_pool_handle() if self.captured else None
        self._fused, self._narrow = None, []
        if self._fuses and obstacle(self.model) is None:
            self._fused = FusedDecoder(self.model, self._operations)
            self._narrow = self._fused.narrow
        else:
            self._narrow = self._narrow_copies()
        self._head = Head(self.model, self._head_kind, self._operations)

    def _current_head(self) -> Head:
        if self._head is None:
            self.refresh()
        assert self._head is not None
        return self._head

    def _wanted(self, step: Step, out_RX: Tensor) -> Tensor:
        """The wanted rows of what a graph left; no copy where they are all wanted."""
        count = step.rows
        if len(step.wanted_M) == count and bool((step.wanted_M == np.arange(count)).all()):
            return out_RX[:count]
        return out_RX[torch.from_numpy(step.wanted_M).to(out_RX.device)]

    def _launched(self, step: Step) -> Tensor:
        """Hidden states [M, D] of the wanted rows, fp32, without a graph."""
        self._current_head()
        if not self._operations.tiled:  # gathering each row's context pays for decoding only
            return super().hidden(step)
        hidden_ND = self._compute(packed_rows(step, self._tile_rows, self.model.device))
        return hidden_ND[torch.from_numpy(step.wanted_M).to(hidden_ND.device)].float()

    def _compute(self, rows: Rows) -> Tensor:
        """Hidden states [N, D] in the compute dtype."""
        if self._fused is not None:
            return self._fused(rows, self._keys, self._values)
        with self._narrowed():
            context = PagedRows(self._keys, self._values, rows, self._operations)
            return self.model(rows.ids_N, rows.positions_N, context)

    def _decode(self, step: Step) -> int | None:
        """Compute a decoding step into the buffers; its bucket's rows, or None where it has to be launched."""
        count = row_bucket(step.rows)
        if count is None or not decodes(step):
            return None
        self._current_head()
        # the table that the step shows may be wider than its rows see
        width = width_bucket(int(step.positions_N.max()) // BLOCK + 1)
        self._inputs.write(step, count, width)
        if (count, width) not in self._graphs:
            self._graphs[count, width] = self._capture(count, width)
        self._graphs[count, width]()
        return count

    def _capture(self, count: int, width: int) -> Callable[[], object]:
        """The bucket's work as one call. Running it twice changes nothing: it writes the same keys and values."""
        rows, head = self._inputs.rows(count, width), self._current_head()

        def work() -> None:
            hidden_ND = self._compute(rows)
            self._hidden_RD[:count].copy_(hidden_ND)
            head.write(hidden_ND, self._logits_RV[:count])

        if not self.captured:
            return work
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            work()  # compiles kernels and makes handles, none of which may happen while capturing
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # other threads may use the device meanwhile
        with torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"):
            work()
        return graph.replay
