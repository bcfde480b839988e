"""Each Triton kernel beside its counterpart in plain torch: on a GPU as compiled, elsewhere in Triton's interpreter.

The interpreter computes in numpy and has no bf16 product, so bf16 is checked on a GPU alone.
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.engine.test_engine import PARAMS, assert_same, some_requests
from tests.tiny import tiny_model
from whetstone.engine.engine import Engine
from whetstone.engine.gpu.inputs import packed_rows, width_bucket
from whetstone.engine.gpu.operations import SPLIT, Rows, TorchOperations
from whetstone.engine.gpu.runner import GraphRunner
from whetstone.engine.gpu.triton_operations import TritonOperations
from whetstone.engine.step import BLOCK, Step

ON_GPU = torch.cuda.is_available()
if not ON_GPU:
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are imported
triton = pytest.importorskip("triton", reason="triton is not installed: its kernels cannot run here")
if not ON_GPU and np.lib.NumpyVersion(np.__version__) >= "2.4.0" and int(triton.__version__.split(".")[1]) < 9:
    pytest.skip("the interpreter of triton before 3.9 does not run with numpy 2.4", allow_module_level=True)

DEVICE = torch.device("cuda" if ON_GPU else "cpu")
DTYPES = [torch.float32, torch.bfloat16] if ON_GPU else [torch.float32]
CLOSE = {torch.float32: 2e-5, torch.float16: 3e-3, torch.bfloat16: 3e-2}
EXAMPLES = 60 if ON_GPU else 6
OURS, REFERENCE = TritonOperations(), TorchOperations()

dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)
examples = settings(max_examples=EXAMPLES, deadline=None)


def noise(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, dtype)


def assert_near(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    assert found.shape == expected.shape and found.dtype == expected.dtype
    torch.testing.assert_close(found.float(), expected.float(), rtol=CLOSE[dtype], atol=CLOSE[dtype])


def a_step(counts: list[int], pasts: list[int], seed: int) -> tuple[Step, int]:
    """Branches with `counts` rows after `pasts` tokens, their blocks scattered; and how many blocks there are."""
    blocks = [-(-(count + past) // BLOCK) for count, past in zip(counts, pasts, strict=True)]
    order = np.random.default_rng(seed).permutation(sum(blocks) + 3)
    tables_RC = np.full((len(counts), max(blocks)), -1, dtype=np.int32)
    used = 0
    for branch, count in enumerate(blocks):
        tables_RC[branch, :count] = order[used : used + count]
        used += count
    positions = [np.arange(past, past + count) for count, past in zip(counts, pasts, strict=True)]
    rows = sum(counts)
    branch_N = np.repeat(np.arange(len(counts)), counts)
    step = Step(np.zeros(rows, dtype=np.int64), np.concatenate(positions), branch_N, tables_RC, np.arange(rows))
    return step, len(order)


def decode_rows(step: Step) -> Rows:
    """As the runner lays out a step that decodes, without padding rows."""
    rows = packed_rows(step, 1, DEVICE)
    width = width_bucket(step.tables_RC.shape[1])
    tables_RC = torch.full((step.rows, width), -1, dtype=torch.int32, device=DEVICE)
    tables_RC[:, : step.tables_RC.shape[1]] = rows.tables_RC
    return replace(rows, tables_RC=tables_RC, splits=width * BLOCK // SPLIT)


def caches(blocks: int, kv_heads: int, head_dim: int, rows: Rows, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Random contents where a row may look, NaN elsewhere: whoever looks there is found out."""
    keys, values = (noise(seed, blocks * BLOCK, kv_heads, head_dim, dtype=dtype) for seed in (1, 2))
    seen = torch.zeros(blocks * BLOCK, dtype=torch.bool, device=DEVICE)
    for place in range(len(rows.ids_N)):
        columns = torch.arange(int(rows.positions_N[place]) + 1, device=DEVICE)
        table = rows.tables_RC[int(rows.branch_N[place])].long()
        seen[table[columns // BLOCK] * BLOCK + columns % BLOCK] = True
    keys[~seen], values[~seen] = torch.nan, torch.nan
    return keys, values


shapes = st.sampled_from([(4, 2, 12), (3, 1, 64), (9, 3, 16), (4, 4, 32), (8, 1, 8), (2, 2, 80)])
windows = st.sampled_from([None, 1, 5, 70, 300])


@dtypes
@examples
@given(
    pasts=st.lists(st.one_of(st.integers(0, 40), st.integers(200, 1100)), min_size=1, max_size=5),
    shape=shapes,
    window=windows,
    seed=st.integers(0, 99),
)
def test_attention_of_decoding_steps(
    dtype: torch.dtype, pasts: list[int], shape: tuple[int, int, int], window: int | None, seed: int
) -> None:
    heads, kv_heads, head_dim = shape
    step, blocks = a_step([1] * len(pasts), pasts, seed)
    rows = decode_rows(step)
    keys, values = caches(blocks, kv_heads, head_dim, rows, dtype)
    q_NHE = noise(seed, len(pasts), heads, head_dim, dtype=dtype)
    found = OURS.attend(q_NHE, keys, values, rows, window)
    assert_near(found, REFERENCE.attend(q_NHE, keys, values, rows, window), dtype)
    for place in range(len(pasts)):  # a row's result does not depend, to the bit, on what else is in the step
        alone = a_row(step, place)
        assert torch.equal(OURS.attend(q_NHE[place : place + 1], keys, values, alone, window)[0], found[place])


def a_row(step: Step, place: int) -> Rows:
    here = slice(place, place + 1)
    table = step.tables_RC[here, : int(step.positions_N[place]) // BLOCK + 1]
    return decode_rows(Step(step.ids_N[here], step.positions_N[here], np.zeros(1, dtype=np.int64), table, np.arange(1)))


@dtypes
@examples
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    past=st.integers(0, 150),
    shape=shapes,
    window=windows,
    most=st.sampled_from([1, 7, 16]),
    seed=st.integers(0, 99),
)
def test_attention_of_mixed_steps(
    dtype: torch.dtype,
    counts: list[int],
    past: int,
    shape: tuple[int, int, int],
    window: int | None,
    most: int,
    seed: int,
) -> None:
    heads, kv_heads, head_dim = shape
    step, blocks = a_step(counts, [past, *[0] * (len(counts) - 1)], seed)
    rows = packed_rows(step, most, DEVICE)
    keys, values = caches(blocks, kv_heads, head_dim, rows, dtype)
    q_NHE = noise(seed, sum(counts), heads, head_dim, dtype=dtype)
    expected = REFERENCE.attend(q_NHE, keys, values, rows, window)
    assert_near(OURS.attend(q_NHE, keys, values, rows, window), expected, dtype)


@dtypes
@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("shape", [(4, 2, 12), (9, 3, 64), (2, 2, 80)], ids=str)
def test_rotation_and_storing(dtype: torch.dtype, normed: bool, shape: tuple[int, int, int]) -> None:
    heads, kv_heads, head_dim = shape
    step, blocks = a_step([3, 1, 20], [40, 17, 0], seed=5)
    rows = packed_rows(step, 4, DEVICE)
    qkv_NF = noise(1, step.rows, (heads + 2 * kv_heads) * head_dim, dtype=dtype)
    cos_NE, sin_NE = (noise(seed, step.rows, head_dim // 2, dtype=dtype).repeat(1, 2) for seed in (2, 3))
    norms = (1 + 0.1 * noise(4, head_dim), 1 + 0.1 * noise(5, head_dim)) if normed else None
    results = []
    for operations in (OURS, REFERENCE):
        keys, values = (torch.zeros(blocks * BLOCK, kv_heads, head_dim, dtype=dtype, device=DEVICE) for _ in "kv")
        q_NHE = operations.rotate_and_store(qkv_NF, cos_NE, sin_NE, norms, 1e-5, keys, values, rows)
        results.append((q_NHE, keys, values))
    for found, expected in zip(*results, strict=True):
        assert expected.abs().max() > 1
        assert_near(found, expected, dtype)


@dtypes
@pytest.mark.parametrize("width", [32, 576, 2048])
@pytest.mark.parametrize("adds", [False, True])
def test_norm(dtype: torch.dtype, width: int, adds: bool) -> None:
    x_ND, delta_ND = noise(1, 5, width, dtype=dtype), noise(2, 5, width, dtype=dtype) if adds else None
    weight_D = 1 + 0.1 * noise(3, width)
    ours, theirs = (each.norm(x_ND, delta_ND, weight_D, 1e-5) for each in (OURS, REFERENCE))
    for found, expected in zip(ours, theirs, strict=True):
        assert_near(found, expected, dtype)


@dtypes
@pytest.mark.parametrize("channels", [48, 1536])
def test_glu(dtype: torch.dtype, channels: int) -> None:
    gate_up_NC = 4 * noise(1, 5, 2 * channels, dtype=dtype)
    assert_near(OURS.glu(gate_up_NC), REFERENCE.glu(gate_up_NC), dtype)


@dtypes
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(("outputs", "width"), [(30, 48), (17, 1100)])
@pytest.mark.parametrize("biased", [False, True])
def test_linear(dtype: torch.dtype, rows: int, outputs: int, width: int, biased: bool) -> None:
    x_ND, weight_OD = noise(1, rows, width, dtype=dtype), noise(2, outputs, width, dtype=dtype) * width**-0.5
    bias_O = noise(3, outputs, dtype=dtype) if biased else None
    assert_near(OURS.linear(x_ND, weight_OD, bias_O), REFERENCE.linear(x_ND, weight_OD, bias_O), dtype)


@pytest.mark.parametrize("rows", [1, 5, 70])
@pytest.mark.parametrize("exact", [False, True])
def test_head(rows: int, exact: bool) -> None:
    hidden_MD, weight_VD = noise(1, rows, 100), noise(2, 300, 100) / 10
    found, expected = (torch.full((rows, 300), torch.nan, device=DEVICE) for _ in "fe")
    OURS.head(hidden_MD, weight_VD, found, exact)
    REFERENCE.head(hidden_MD, weight_VD, expected, exact=True)
    assert_near(found, expected, torch.float32)


@pytest.mark.parametrize("words", [84, 256, 5000])
def test_block_sums(words: int) -> None:
    logits_MV = 5 * noise(1, 4, words)
    logits_MV[1, : words // 2] = -torch.inf
    scale_M = torch.tensor([1.0, 2.0, 0.5, 1.0], device=DEVICE)
    for found, expected in zip(*(each.block_sums(logits_MV, scale_M) for each in (OURS, REFERENCE)), strict=True):
        assert found.dtype == expected.dtype and found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    logits_MV[2, 3] = torch.nan
    assert OURS.block_sums(logits_MV, scale_M)[1][2].isnan().any()


@pytest.mark.parametrize("changes", [{}, {"windows": (4, None), "qkv_bias": True}, {"family": "llama"}], ids=str)
@pytest.mark.parametrize("fused", [False, True])
def test_the_engine_with_these_kernels_says_what_it_says_with_torch(changes: dict[str, object], fused: bool) -> None:
    model = tiny_model(seed=2, **changes).to(DEVICE)
    requests = some_requests(3, 2)
    expected = Engine(model, cache_bytes=4 << 20).sample(requests, PARAMS)
    engine = Engine(model, cache_bytes=4 << 20, runner=lambda *given: GraphRunner(*given, operations=OURS, fused=fused))
    assert_same(engine.sample(requests, PARAMS), expected)
