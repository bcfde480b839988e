"""The kernel against the decoder's own full forward, for every kind of model and every storage."""

from __future__ import annotations

import pytest
import torch

from tests.engine.native.paged import (
    SHAPES,
    alone,
    blocks_for,
    decoder,
    needs_kernel,
    reference,
    rows_of,
    sequence,
    step,
    stored,
)
from tests.models.tiny import relative_error
from whetstone.engine.native import NativeRunner, supported
from whetstone.engine.native.packed import STORAGES, StorageKind

pytestmark = needs_kernel


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("name", SHAPES)
def test_logits_and_hidden_states_equal_the_decoders(name: str, storage: StorageKind) -> None:
    model, ids = decoder(name), sequence(70, 1)
    runner = NativeRunner(model, blocks_for(70), storage, threads=1)
    logits, hidden = reference(stored(model, storage), ids)
    assert relative_error(alone(runner, ids), logits) < 1e-4
    whole = step(rows_of(ids), [list(range(blocks_for(70)))])
    assert relative_error(runner.hidden(whole), hidden) < 1e-4


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("name", ["llama-tied", "qwen3-window", "post-norm-biases"])
def test_decoding_token_by_token_equals_the_full_forward(name: str, storage: StorageKind) -> None:
    model, ids = decoder(name, 3), sequence(40, 2)
    runner = NativeRunner(model, blocks_for(40), storage, threads=1)
    table = [list(range(blocks_for(40)))]
    steps = [runner.run(step(rows_of(ids[: end + 1], end), table)) for end in range(len(ids))]
    assert relative_error(torch.cat(steps), reference(stored(model, storage), ids)[0]) < 1e-4


def test_only_wanted_rows_are_returned_in_the_order_asked() -> None:
    model, ids = decoder("qwen2-window"), sequence(30, 3)
    runner = NativeRunner(model, 2, threads=1)
    every = alone(runner, ids)
    some = runner.run(step(rows_of(ids), [[0, 1]], wanted=[29, 0, 7, 7, 8]))
    assert torch.equal(some, every[[29, 0, 7, 7, 8]])
    assert runner.run(step(rows_of(ids), [[0, 1]], wanted=[])).shape == (0, model.config.vocab_size)


def test_positions_far_out_where_the_table_of_angles_has_to_grow() -> None:
    model, far = decoder("odd-sizes"), 3000
    ids = sequence(far + 1, 4)
    runner = NativeRunner(model, blocks_for(far + 1), threads=1)
    table = [list(range(blocks_for(far + 1)))]
    for begin in range(0, far, 500):
        runner.run(step(rows_of(ids[: min(far, begin + 500)], begin), table, wanted=[]))
    last = runner.run(step(rows_of(ids, far), table))
    assert relative_error(last[0], reference(model, ids)[0][-1]) < 1e-4


def test_a_row_that_is_no_number_spoils_neither_its_past_nor_its_neighbours() -> None:
    model, ids = decoder("whole-vectors"), sequence(20, 5)
    poison = next(token for token in range(model.config.vocab_size) if token not in ids)
    head = model.embed.weight.detach().clone()
    with torch.no_grad():
        model.embed.weight[poison] = torch.inf
    runner = NativeRunner(model, 4, threads=1)
    rows = [*rows_of([*ids, poison]), *rows_of(ids, branch=1)]
    logits = runner.run(step(rows, [[0, 1], [2, 3]]))
    kept = [token for token in range(model.config.vocab_size) if token != poison]
    assert torch.isnan(logits[20]).all()
    for first in (0, 21):
        assert torch.isfinite(logits[first : first + 20][:, kept]).all()
    with torch.no_grad():
        model.embed.weight.copy_(head)
    assert torch.equal(alone(runner, ids)[:, kept], logits[21:41][:, kept])


@pytest.mark.parametrize(
    ("rows", "tables", "wanted", "complaint"),
    [
        ([(251, 0, 0)], [[0]], [0], "token id"),
        ([(-1, 0, 0)], [[0]], [0], "token id"),
        ([(1, -1, 0)], [[0]], [0], "position"),
        ([(1, 0, 1)], [[0]], [0], "branch"),
        ([(1, 16, 0)], [[0]], [0], "table"),
        ([(1, 16, 0)], [[-1, 0]], [0], "table"),
        ([(1, 0, 0)], [[2]], [0], "table"),
        ([(1, 0, 0)], [[0]], [1], "wanted"),
    ],
)
def test_a_step_out_of_range_is_refused(rows, tables, wanted, complaint) -> None:  # type: ignore[no-untyped-def]
    runner = NativeRunner(decoder("odd-sizes"), 2, threads=1)
    with pytest.raises(ValueError, match=complaint):
        runner.run(step(rows, tables, wanted))


def test_blocks_that_no_window_reaches_may_be_gone() -> None:
    model, ids = decoder("mistral-window"), sequence(40, 6)
    runner = NativeRunner(model, 3, threads=1)
    runner.run(step(rows_of(ids[:39]), [[0, 1, 2]], wanted=[]))
    kept, gone = (runner.run(step(rows_of(ids, 39), [table])) for table in ([0, 1, 2], [-1, -1, 2]))
    assert torch.equal(kept, gone)


def test_what_the_kernel_cannot_compute_is_named() -> None:
    model = decoder("odd-sizes")
    assert supported(model) is None
    model.compute_dtype = torch.bfloat16
    assert "bfloat16" in str(supported(model))
    with pytest.raises(ValueError, match="bfloat16"):
        NativeRunner(model, 1)
    assert "float64" in str(supported(decoder("odd-sizes").double()))
    with torch.inference_mode():
        unseen = decoder("odd-sizes")
    assert "inference mode" in str(supported(unseen))
    strange = decoder("odd-sizes")
    strange.layers[0].mixer.q.adapter = torch.nn.Identity()
    assert "Identity" in str(supported(strange))
    strange = decoder("odd-sizes")
    strange.layers[1].channel = torch.nn.Identity()
    assert "Identity" in str(supported(strange))


@pytest.mark.parametrize(("blocks", "storage", "threads"), [(0, "fp32", 1), (1, "fp16", 1), (1, "fp32", 0)])
def test_a_runner_that_cannot_be_is_refused(blocks: int, storage: StorageKind, threads: int) -> None:
    with pytest.raises(ValueError, match="no runner"):
        NativeRunner(decoder("odd-sizes"), blocks, storage, threads)
