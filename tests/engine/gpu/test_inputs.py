"""Steps become buffers of static shapes without loss, and what pads them belongs to nobody."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whetstone.engine.gpu.inputs import (
    LARGEST,
    ROW_BUCKETS,
    UNIT,
    DecodeInputs,
    decodes,
    packed_rows,
    row_bucket,
    tiles,
    width_bucket,
)
from whetstone.engine.step import Step

CPU = torch.device("cpu")


@given(st.integers(1, LARGEST))
def test_a_row_bucket_is_the_smallest_that_holds_the_rows(rows: int) -> None:
    bucket = row_bucket(rows)
    assert bucket is not None and bucket >= rows
    assert all(smaller < rows for smaller in ROW_BUCKETS if smaller < bucket)
    assert row_bucket(LARGEST + 1) is None


@given(st.integers(0, 5000))
def test_a_width_bucket_is_a_power_of_two_of_units(blocks: int) -> None:
    width = width_bucket(blocks)
    units = width // UNIT
    assert width >= blocks and width % UNIT == 0 and units & (units - 1) == 0
    assert width == UNIT or width // 2 < blocks


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 17))
def test_tiles_cut_runs_of_a_branch(counts: list[int], most: int) -> None:
    branch_N = np.repeat(np.arange(len(counts)), counts)
    first_T, count_T = tiles(branch_N, most)
    assert first_T.dtype == count_T.dtype == np.int32 and count_T.max() <= most and count_T.min() >= 1
    covered = [row for first, count in zip(first_T, count_T, strict=True) for row in range(first, first + count)]
    assert covered == list(range(sum(counts)))
    for first, count in zip(first_T, count_T, strict=True):
        assert len(set(branch_N[first : first + count])) == 1
    assert len(first_T) == sum(-(-count // most) for count in counts)


def a_step(positions: list[int], branch: list[int], blocks: int = 3) -> Step:
    rows, branches = len(positions), max(branch) + 1
    tables_RC = np.arange(branches * blocks, dtype=np.int32).reshape(branches, blocks)
    return Step(np.arange(rows) + 50, np.array(positions), np.array(branch), tables_RC, np.arange(rows))


def test_only_steps_of_one_row_a_branch_decode() -> None:
    assert decodes(a_step([3, 4], [0, 1]))
    assert not decodes(a_step([3, 4], [1, 0]))  # rows are not in their branches' order
    assert not decodes(a_step([3, 4], [0, 0]))
    assert not decodes(a_step([3, 4, 5], [0, 1, 1]))


def test_padding_writes_to_the_scratch_block_and_nothing_is_left_of_a_larger_step() -> None:
    inputs = DecodeInputs(longest=100, scratch=99, device=CPU)
    inputs.write(a_step([40] * 8, list(range(8))), 8, 16)
    inputs.write(a_step([33, 7, 20], [0, 1, 2]), 4, 16)
    rows = inputs.rows(4, 16)
    assert rows.ids_N.tolist() == [50, 51, 52, 0] and rows.positions_N.tolist() == [33, 7, 20, 0]
    assert rows.tables_RC[:3, :3].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert (rows.tables_RC[:3, 3:] == 99).all() and (rows.tables_RC[3] == 99).all()
    assert rows.slots_N().tolist() == [2 * 16 + 1, 3 * 16 + 7, 7 * 16 + 4, 99 * 16]
    assert rows.splits == 1 and inputs.rows(4, 64).splits == 4
    # the views of a bucket are the same memory at every step: a captured graph reads what was written last
    assert inputs.rows(4, 16).positions_N.data_ptr() == rows.positions_N.data_ptr()


def test_a_table_wider_than_its_bucket_is_cut() -> None:
    inputs = DecodeInputs(longest=100, scratch=99, device=CPU)
    inputs.write(a_step([33], [0], blocks=20), 1, 16)
    assert inputs.rows(1, 16).tables_RC[0].tolist() == list(range(16))


@pytest.mark.parametrize("most", [1, 2, 5])
def test_packed_rows_are_the_step(most: int) -> None:
    step = a_step([3, 4, 5, 20, 9, 10, 11], [0, 0, 0, 1, 2, 2, 2])
    rows = packed_rows(step, most, CPU)
    for found, expected in (
        (rows.ids_N, step.ids_N),
        (rows.positions_N, step.positions_N),
        (rows.branch_N, step.branch_N),
        (rows.tables_RC, step.tables_RC),
    ):
        assert found.dtype == torch.int32 and found.tolist() == expected.tolist()
    assert sum(rows.count_T.tolist()) == step.rows and rows.tile_rows == most
