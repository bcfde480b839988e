"""A row's result is the same to the bit whatever shares its step, wherever its blocks lie, on any number of threads."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.engine.native.paged import alone, blocks_for, decoder, needs_kernel, rows_of, sequence, step
from whetstone.engine.native import NativeRunner
from whetstone.engine.native.packed import STORAGES, StorageKind

pytestmark = needs_kernel
NAMES = ("llama-tied", "qwen3-window", "whole-vectors", "many-queries", "post-norm-biases")
BLOCKS = 200
Build = tuple[str, StorageKind]


@cache
def runner_of(build: Build, threads: int = 1) -> NativeRunner:
    name, storage = build
    return NativeRunner(decoder(name, 7), BLOCKS, storage, threads)


builds = st.tuples(st.sampled_from(NAMES), st.sampled_from(STORAGES))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("name", NAMES)
def test_every_batch_size_from_1_to_40(name: str, storage: StorageKind) -> None:
    runner = runner_of((name, storage))
    prompts = [sequence(18 + row % 5, row) for row in range(40)]
    single = [alone(runner, prompt)[-1] for prompt in prompts]
    tables = [[3 * row, 3 * row + 1] for row in range(40)]
    for row, prompt in enumerate(prompts):
        runner.run(step(rows_of(prompt[:-1]), [tables[row]], wanted=[]))
    for batch in range(1, 41):
        rows = [(prompts[row][-1], len(prompts[row]) - 1, row) for row in range(batch)]
        assert torch.equal(runner.run(step(rows, tables)), torch.stack(single[:batch])), batch


@settings(max_examples=60, deadline=None)
@given(builds, st.integers(1, 70), st.lists(st.integers(1, 69), max_size=4), st.randoms(use_true_random=False))
def test_chunks_and_placement(build: Build, length: int, cuts: list[int], random) -> None:  # type: ignore[no-untyped-def]
    """Computed in chunks, in blocks from anywhere, a sequence has the logits that it has in one step."""
    runner, ids = runner_of(build), sequence(length, length)
    whole = alone(runner, ids)
    table = random.sample(range(BLOCKS), blocks_for(length))
    edges = sorted({0, length, *(cut for cut in cuts if cut < length)})
    parts = [runner.run(step(rows_of(ids[:end], begin), [table])) for begin, end in pairwise(edges)]
    assert torch.equal(torch.cat(parts), whole)


@settings(max_examples=60, deadline=None)
@given(builds, st.lists(st.integers(1, 40), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_mixed_steps_in_any_order(build: Build, lengths: list[int], random) -> None:  # type: ignore[no-untyped-def]
    """Prefill chunks and decode rows of several branches, their rows shuffled: as if each were alone."""
    runner = runner_of(build)
    prompts = [sequence(length, seed) for seed, length in enumerate(lengths)]
    expected = [alone(runner, prompt) for prompt in prompts]
    free = random.sample(range(BLOCKS), BLOCKS)
    tables = [[free.pop() for _ in range(blocks_for(length))] for length in lengths]
    done = [random.randrange(length) for length in lengths]
    for branch, prompt in enumerate(prompts):
        if done[branch]:
            runner.run(step(rows_of(prompt[: done[branch]]), [tables[branch]], wanted=[]))
    rows = [row for branch, prompt in enumerate(prompts) for row in rows_of(prompt, done[branch], branch)]
    random.shuffle(rows)
    logits = runner.run(step(rows, tables))
    for found, (_, position, branch) in zip(logits, rows, strict=True):
        assert torch.equal(found, expected[branch][position])


@pytest.mark.parametrize("build", [(name, storage) for name in NAMES[:3] for storage in STORAGES])
def test_numbers_of_threads(build: Build) -> None:
    ids, others = sequence(50, 1), [sequence(9, seed) for seed in range(3)]
    rows = [*rows_of(ids), *(row for branch, other in enumerate(others) for row in rows_of(other, 0, branch + 1))]
    mixed = step(rows, [[0, 1, 2, 3], [4], [5], [6]])
    single = runner_of(build).run(mixed)
    for threads in (2, 3):
        assert torch.equal(runner_of(build, threads).run(mixed), single)
        assert torch.equal(alone(runner_of(build, threads), ids), alone(runner_of(build), ids))


def forked(runner: NativeRunner, prefix: list[int], tails: list[list[int]]) -> list[Tensor]:
    """Branches that share the prefix's blocks, the prefix and all tails computed in one step."""
    shared = list(range(len(prefix) // 16))
    tables = [[*shared, *range(50 + 4 * branch, 54 + 4 * branch)] for branch in range(len(tails))]
    rows = rows_of(prefix)  # the first branch writes what all read
    for branch, tail in enumerate(tails):
        rows += rows_of(prefix + tail, len(prefix), branch)
    logits = runner.run(step(rows, tables))
    return list(logits[len(prefix) :].split([len(tail) for tail in tails]))


@pytest.mark.parametrize("build", [(name, storage) for name in NAMES for storage in STORAGES])
def test_branches_that_share_blocks_filled_in_the_same_step(build: Build) -> None:
    runner, prefix = runner_of(build), sequence(32, 1)
    tails = [sequence(length, 20 + length) for length in (5, 1, 17)]
    for tail, found in zip(tails, forked(runner, prefix, tails), strict=True):
        assert torch.equal(found, alone(runner, prefix + tail)[32:])


@pytest.mark.parametrize("name", NAMES)
def test_a_copied_block_is_as_good_as_the_first(name: str) -> None:
    runner, ids = runner_of((name, "fp32")), sequence(41, 2)
    whole = alone(runner, ids)
    runner.run(step(rows_of(ids[:40]), [[10, 11, 12]], wanted=[]))
    for source, target in ((10, 90), (11, 5), (12, 60)):
        runner.copy_block(source, target)
    # the sources are overwritten: nothing may look at them any more
    runner.run(step(rows_of(sequence(48, 3)), [[10, 11, 12]], wanted=[]))
    assert torch.equal(runner.run(step(rows_of(ids, 40), [[90, 5, 60]]))[0], whole[40])
    with pytest.raises(ValueError, match="block"):
        runner.copy_block(0, BLOCKS)
