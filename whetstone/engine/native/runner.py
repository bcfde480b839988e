"""NativeRunner: steps of token rows against a paged cache, computed by the CPU kernel."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whetstone.engine.native.build import load, reason
from whetstone.engine.native.interface import Shape, StepArguments, integers
from whetstone.engine.native.packed import STORAGES, PackedWeights, StorageKind, plain
from whetstone.engine.native.sums import block_sums
from whetstone.engine.step import Step
from whetstone.errors import WorkFailed
from whetstone.models.config import ModelConfig
from whetstone.models.decoder import GLU, Attention, Decoder, Linear, rotary_frequencies
from whetstone.models.lora import LowRank

_QK_NORM = {"none": 0, "head": 1, "full": 2}
_OUT_OF_RANGE = {
    1: "a token id outside the vocabulary",
    2: "a negative position",
    3: "a row whose branch has no table",
    4: "a row whose table lacks a block that it sees",
    5: "a wanted row that is not in the step",
}


def supported(model: Decoder) -> str | None:
    """None if the kernel can compute `model` here, else the reason in one line (then torch has to)."""
    if (missing := reason()) is not None:
        return missing
    if model.compute_dtype != torch.float32:
        return f"the kernel computes in fp32, the model in {model.compute_dtype}"
    for name, parameter in model.named_parameters():
        if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
            return f"{name} is {parameter.dtype} on {parameter.device}; the kernel needs fp32 on the CPU"
        if parameter.is_inference():
            return f"{name} was made in inference mode: changes to it cannot be noticed"
    if model.config.head_dim % 2:
        return f"a head of {model.config.head_dim} numbers cannot be rotated in halves"
    if model.config.heads % model.config.kv_heads:
        return f"{model.config.heads} heads cannot share {model.config.kv_heads} key-value heads evenly"
    block: Any
    for block in model.layers:
        for part, known in ((block.mixer, Attention), (block.channel, GLU)):
            if type(part) is not known:
                return f"the kernel knows no {type(part).__name__}"
    for module in model.modules():
        adapter = module.adapter if isinstance(module, Linear) else None
        if adapter is not None and not isinstance(adapter, LowRank):
            return f"the kernel knows no adapter of the kind {type(adapter).__name__}"
    return None


class NativeRunner:
    """A `Runner` (see engine/step.py) that owns the cache and a packed copy of the weights as they were at `refresh`.

    A row's result is the same to the bit whatever shares its step, in whatever order, in chunks of whatever size,
    wherever its blocks lie, and with any number of threads. One step at a time: not to be called from two threads.
    """

    def __init__(self, model: Decoder, blocks: int, storage: StorageKind = "fp32", threads: int | None = None) -> None:
        """`storage` is how the linear weights and the output matrix are kept; embeddings, norms, activations and the
        cache are always fp32.

        Raises:
            ValueError: the kernel cannot compute this model (see `supported`), or `blocks` or `threads` is below 1.
            WorkFailed: not enough memory for the cache or the weights.
        """
        if (obstacle := supported(model)) is not None:
            raise ValueError(obstacle)
        if storage not in STORAGES or blocks < 1 or (threads is not None and threads < 1):
            raise ValueError(f"no runner of {blocks} blocks, storage {storage!r} and {threads} threads")
        library = load()
        assert library is not None
        self.model, self.blocks, self.storage = model, blocks, storage
        self.threads = threads or torch.get_num_threads()
        self._library = library
        config = model.config
        handle = library.native_create(
            ctypes.byref(_shape(config)),
            integers([config.window(layer) or 0 for layer in range(config.layers)]),
            blocks,
            STORAGES.index(storage),
            self.threads,
        )
        if not handle:
            raise WorkFailed(f"there is not enough memory for a cache of {blocks} blocks")
        self._handle: int = handle
        weakref.finalize(self, library.native_free, handle)
        self._weights = PackedWeights(library, handle, model)
        self._weights.refresh()
        self._rotary = _Rotary(config)

    def refresh(self) -> bool:
        """Pack again what has changed in the model; True if anything had. Steps do not look: call it before each.

        The keys and values in the cache were computed with the old weights: whoever keeps them must drop them.

        Raises:
            WorkFailed: not enough memory, or an adapter that the kernel does not know.
        """
        return self._weights.refresh()

    def run(self, step: Step) -> Tensor:
        """fp32 logits [M, V] of the wanted rows. Raises ValueError for a step that is out of range."""
        return self._step(step, self.model.config.vocab_size, want_hidden=False)

    def hidden(self, step: Step) -> Tensor:
        """fp32 hidden states after the last norm [M, D] of the wanted rows. Raises ValueError as `run` does."""
        return self._step(step, self.model.config.width, want_hidden=True)

    def block_sums(self, logits_MV: Tensor, scale_M: Tensor) -> tuple[Tensor, Tensor]:
        """See `sampling.BlockSums`."""
        return block_sums(logits_MV, scale_M, self.threads)

    def copy_block(self, source: int, target: int) -> None:
        """Copy a block's keys and values in all layers. Raises ValueError for a block that does not exist."""
        if not (0 <= source < self.blocks and 0 <= target < self.blocks):
            raise ValueError(f"cannot copy block {source} to {target}: there are {self.blocks}")
        if source != target:
            self._library.native_copy_block(self._handle, source, target)

    def product(self, layer: int, slot: int, x_NK: Tensor, out: Tensor) -> None:
        """One matrix product alone, for measurements: rows times the packed matrix of a layer (slots: 0 q, k and v,
        1 output, 2 gate and up, 3 down). Writes rows of whole panels to `out`, which must be large enough."""
        if self._library.native_product(self._handle, layer, slot, x_NK.data_ptr(), len(x_NK), out.data_ptr()):
            raise WorkFailed(f"there is not enough memory for a product of {len(x_NK)} rows")

    def _step(self, step: Step, columns: int, want_hidden: bool) -> Tensor:
        ids_N = np.ascontiguousarray(step.ids_N, dtype=np.int64)
        positions_N = np.ascontiguousarray(step.positions_N, dtype=np.int64)
        branch_N = np.ascontiguousarray(step.branch_N, dtype=np.int64)
        wanted_M = np.ascontiguousarray(step.wanted_M, dtype=np.int64)
        tables_RC = np.ascontiguousarray(step.tables_RC, dtype=np.int32)
        if not (ids_N.shape == positions_N.shape == branch_N.shape and tables_RC.ndim == 2):
            raise ValueError("a step needs as many ids as positions and branches, and a table of two dimensions")
        out_MX = torch.empty(len(wanted_M), columns)
        if len(ids_N) == 0:
            if len(wanted_M):
                raise ValueError(f"the step has {_OUT_OF_RANGE[5]}")
            return out_MX
        embedding_VD = plain(self.model.embed.weight)
        cosines, sines = self._rotary.upto(int(positions_N.max()))
        arguments = StepArguments(
            rows=len(ids_N),
            wanted_rows=len(wanted_M),
            table_stride=tables_RC.shape[1],
            branches=tables_RC.shape[0],
            ids=ids_N.ctypes.data,
            positions=positions_N.ctypes.data,
            branch=branch_N.ctypes.data,
            wanted=wanted_M.ctypes.data,
            tables=tables_RC.ctypes.data,
            embedding=embedding_VD.data_ptr(),
            cosines=cosines.ctypes.data,
            sines=sines.ctypes.data,
            known_positions=len(cosines),
            want_hidden=want_hidden,
            out=out_MX.data_ptr(),
        )
        outcome = self._library.native_step(self._handle, ctypes.byref(arguments))
        if outcome > 0:
            raise ValueError(f"the step has {_OUT_OF_RANGE[outcome]}")
        if outcome < 0:
            raise WorkFailed(f"there is not enough memory for a step of {len(ids_N)} rows")
        return out_MX


class _Rotary:
    """Cosines and sines [positions, E/2] of the model's frequencies, grown as positions are asked for."""

    def __init__(self, config: ModelConfig) -> None:
        self._frequency = rotary_frequencies(config.rope, config.head_dim, torch.device("cpu")).numpy()
        self._cosines, self._sines = self._rows(0, min(config.max_positions, 2048))

    def _rows(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        # Angles in fp32 as the decoder has them. Their cosines in fp64: rounded from there they do not depend on how
        # a vectorised fp32 loop was split, so a longer table agrees with a shorter one to the bit.
        angles = np.arange(begin, end, dtype=np.float32)[:, None] * self._frequency
        wide = angles.astype(np.float64)
        return np.cos(wide).astype(np.float32), np.sin(wide).astype(np.float32)

    def upto(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        have = len(self._cosines)
        if position >= have:
            cosines, sines = self._rows(have, max(position + 1, 2 * have))
            self._cosines = np.concatenate((self._cosines, cosines))
            self._sines = np.concatenate((self._sines, sines))
        return self._cosines, self._sines


def _shape(config: ModelConfig) -> Shape:
    return Shape(
        vocab=config.vocab_size,
        width=config.width,
        layers=config.layers,
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_dim=config.head_dim,
        channel=config.channel_width,
        qk_norm=_QK_NORM[config.qk_norm],
        post_norm=config.norm_position == "post",
        eps=config.norm_eps,
    )
