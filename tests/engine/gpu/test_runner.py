"""GraphRunner says what TorchRunner says, with the joined form and the plain one, whatever the buckets.

On a CPU the bucket's work is called instead of captured; everything before and behind that is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from tests.engine.test_engine import PARAMS, assert_same, flat, full_logprobs, some_requests
from tests.tiny import tiny_model
from whetstone.engine import engine as plain_engine
from whetstone.engine.gpu.fused import FusedDecoder, obstacle
from whetstone.engine.gpu.head import Head
from whetstone.engine.gpu.inputs import LARGEST
from whetstone.engine.gpu.operations import TorchOperations
from whetstone.engine.gpu.runner import GraphRunner
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.runners import runner_for
from whetstone.engine.speculate import Lookup
from whetstone.engine.step import BLOCK, Step
from whetstone.engine.torch_runner import TorchRunner
from whetstone.errors import UsageError
from whetstone.models.decoder import Decoder, Linear
from whetstone.models.lora import apply_lora, lora_parameters

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
    ),
]
JOINED = [
    {},
    {"windows": (4, None)},
    {"family": "llama", "tied": False},
    {"family": "qwen2", "qkv_bias": True},
    {"family": "llama", "qkv_bias": True, "output_bias": True, "channel_bias": True, "kv_heads": 1},
]
PLAIN = [{"family": "olmo2", "norm_position": "post", "qk_norm": "full"}]


# a cache of a few hundred blocks, not of millions
Engine = partial(plain_engine.Engine, cache_bytes=4 << 20)


class TiledTorch(TorchOperations):
    """Plain torch in the place of the kernels: prompts too go through the runner's own path."""

    tiled = True


def making(**options: Any) -> Callable[[Decoder, int], GraphRunner]:
    return partial(GraphRunner, **options)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("changes", JOINED + PLAIN, ids=str)
@pytest.mark.parametrize("fused", [True, False], ids=["joined", "plain"])
@pytest.mark.parametrize("tiled", [True, False], ids=["tiled", "gathered"])
def test_it_says_what_torch_says(device: str, changes: dict[str, object], fused: bool, tiled: bool) -> None:
    model = tiny_model(seed=2, **changes).to(device)
    assert (obstacle(model) is None) == (changes in JOINED)
    expected = Engine(model).sample(some_requests(), PARAMS)
    operations = TiledTorch() if tiled else TorchOperations()
    engine = Engine(model, runner=making(operations=operations, fused=fused))
    assert_same(engine.sample(some_requests(), PARAMS), expected)
    assert isinstance(engine.runner, GraphRunner) and len(engine.runner.buckets) > 1


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("max_rows", [1, 3])
def test_the_batch_changes_nothing(device: str, max_rows: int) -> None:
    model = tiny_model(seed=2).to(device)
    expected = Engine(model).sample(some_requests(), PARAMS)
    assert_same(Engine(model, max_rows, runner=GraphRunner).sample(some_requests(), PARAMS), expected)
    for request, group in zip(some_requests(), expected, strict=True):
        assert_same(Engine(model, runner=GraphRunner).sample([request], PARAMS), [group])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("blocks", [2, 5])
def test_a_small_cache_changes_nothing(device: str, blocks: int) -> None:
    """Every block but the scratch one is used and given away again."""
    model = tiny_model(seed=2).to(device)
    expected = Engine(model).sample(some_requests(), PARAMS)
    size = blocks * BLOCK * model.config.kv_bytes_per_token
    engine = Engine(model, cache_bytes=size, runner=making(operations=TiledTorch()))
    assert engine.pool.count == engine.runner.blocks == blocks
    assert_same(engine.sample(some_requests(), PARAMS), expected)
    assert engine.stats.preemptions > 0


@pytest.mark.parametrize("device", DEVICES)
def test_long_contexts_meet_wider_buckets(device: str) -> None:
    model = tiny_model(seed=4, windows=(200, None)).to(device)
    requests = [
        Request(tuple(n % 84 for n in range(start, start + length)), (start,)) for start, length in ((0, 250), (3, 9))
    ]
    params = SamplingParams(12, temperature=0.0)
    engine = Engine(model, runner=GraphRunner)
    assert_same(engine.sample(requests, params), Engine(model).sample(requests, params))
    assert isinstance(engine.runner, GraphRunner)
    assert {width * BLOCK for _, width in engine.runner.buckets} == {256, 512}


def test_more_rows_than_the_largest_bucket_go_without_one() -> None:
    model = tiny_model(seed=2)
    count = LARGEST + 1
    tables_RC = np.arange(count, dtype=np.int32)[:, None]
    steps = [
        Step(np.full(count, 7), np.full(count, position), np.arange(count), tables_RC, np.arange(0, count, 100))
        for position in (0, 1)
    ]
    ours, theirs = GraphRunner(model, count, operations=TiledTorch()), TorchRunner(model, count)
    for step in steps:
        torch.testing.assert_close(ours.run(step), theirs.run(step).detach(), rtol=0, atol=1e-5)
    assert ours.buckets == []


def test_guesses_are_checked_without_a_graph() -> None:
    model = tiny_model(seed=3)
    request = [Request((5, 6, 7, 8) * 4, (1,))]
    params = SamplingParams(24, temperature=0.0)
    engine = Engine(model, runner=GraphRunner, proposers=[Lookup()])
    assert_same(engine.sample(request, params), Engine(model).sample(request, params))
    assert engine.stats.guesses["lookup"].proposed > 0


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("fused", [True, False], ids=["joined", "plain"])
@pytest.mark.parametrize("head", ["fp32", "bf16"])
def test_weights_that_change_in_place_are_seen_by_the_same_buckets(
    device: str, dtype: torch.dtype, fused: bool, head: str
) -> None:
    model, other = tiny_model(seed=3, qkv_bias=True).to(device), tiny_model(seed=4, qkv_bias=True).to(device)
    model.compute_dtype = other.compute_dtype = dtype
    make = making(fused=fused, head=head)
    engine = Engine(model, runner=make)
    requests, params = some_requests(), SamplingParams(8, temperature=0.0)
    before = engine.sample(requests, params)
    runner = engine.runner
    assert isinstance(runner, GraphRunner)
    works = dict(runner._graphs)
    with torch.no_grad():
        for parameter, fresh in zip(model.parameters(), other.parameters(), strict=True):
            parameter.copy_(fresh)
    after = engine.sample(requests, params)
    assert [one.ids for one in flat(before)] != [one.ids for one in flat(after)]
    assert_same(after, Engine(other, runner=make).sample(requests, params))
    assert all(runner._graphs[bucket] is work for bucket, work in works.items())
    assert all(module.narrow is None for module in model.modules() if isinstance(module, Linear))


def test_weights_that_moved_drop_the_graphs() -> None:
    model = tiny_model(seed=3)
    engine = Engine(model, runner=GraphRunner)
    params = SamplingParams(8, temperature=0.0)
    engine.sample(some_requests(), params)
    runner = engine.runner
    assert isinstance(runner, GraphRunner)
    works = dict(runner._graphs)
    for parameter, fresh in zip(model.parameters(), tiny_model(seed=4).parameters(), strict=True):
        parameter.data = fresh.data
    expected = Engine(tiny_model(seed=4)).sample(some_requests(), params)
    assert_same(engine.sample(some_requests(), params), expected)
    assert all(runner._graphs.get(bucket) is not work for bucket, work in works.items())


def test_adapters_are_honoured_when_they_come_and_when_they_change() -> None:
    model = tiny_model(seed=3)
    engine = Engine(model, runner=GraphRunner)
    plain = engine.sample(some_requests(), PARAMS)
    apply_lora(model, rank=2, alpha=4.0, seed=1)
    assert obstacle(model) == "it has adapters"
    assert_same(engine.sample(some_requests(), PARAMS), plain)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in lora_parameters(model):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    adapted = engine.sample(some_requests(), PARAMS)
    assert [one.ids for one in flat(adapted)] != [one.ids for one in flat(plain)]
    assert_same(adapted, Engine(model).sample(some_requests(), PARAMS))


@pytest.mark.parametrize("device", DEVICES)
def test_narrow_activations(device: str) -> None:
    """bf16 rounds; log-probabilities of the joined and the plain form stay near those of fp32, and of each other."""
    model = tiny_model(seed=3).to(device)
    model.compute_dtype = torch.bfloat16
    for fused in (True, False):
        found = Engine(model, runner=making(fused=fused)).sample(some_requests(), PARAMS)
        for request, group in zip(some_requests(), found, strict=True):
            for completion in group:
                model.compute_dtype = torch.float32
                expected_TV = full_logprobs(model.cpu(), request.prompt_ids, completion.ids)
                model.to(device).compute_dtype = torch.bfloat16
                expected = expected_TV.gather(1, torch.tensor(completion.ids)[:, None])[:, 0].tolist()
                differences = [abs(a - b) for a, b in zip(completion.logprobs, expected, strict=True)]
                assert max(differences) < 0.2 and sum(differences) / len(differences) < 0.05
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_copies_are_made_only_where_products_are_joined() -> None:
    model = tiny_model(seed=3)
    fused = FusedDecoder(model, TorchOperations())
    parameters = {parameter.data_ptr() for parameter in model.parameters()}
    own = [linear for linear, weight in fused.narrow if weight.data_ptr() in parameters]
    assert own == [linear for block in model.layers for linear in (block.mixer.o, block.channel.down)]
    with pytest.raises(ValueError, match="norms stand after"):
        FusedDecoder(tiny_model(seed=1, **PLAIN[0]), TorchOperations())


@pytest.mark.parametrize("kind", ["fp32", "tf32x3", "bf16"])
def test_heads(kind: Any) -> None:
    model = tiny_model(seed=3, tied=False)
    head = Head(model, kind, TorchOperations())
    hidden_MD = torch.randn(5, model.config.width)
    for _ in range(2):
        out_MV = torch.empty(5, model.config.vocab_size)
        head.write(hidden_MD, out_MV)
        expected = model.logits(hidden_MD)
        torch.testing.assert_close(out_MV, expected, rtol=0, atol=0.05 if kind == "bf16" else 1e-5)
        assert kind != "bf16" or not torch.equal(out_MV, expected)
        with torch.no_grad():
            model.head_weight_VD.mul_(-1)
        head.refresh()
    assert head.bytes == model.head_weight_VD.numel() * (2 if kind == "bf16" else 4)
    with pytest.raises(ValueError, match="no head"):
        Head(model, "int3", TorchOperations())  # type: ignore[arg-type]


def test_the_runner_for_a_cpu() -> None:
    model = tiny_model(seed=3)
    make = runner_for(model)
    expected = Engine(model).sample(some_requests(), PARAMS)
    assert_same(Engine(model, runner=make).sample(some_requests(), PARAMS), expected)
    with pytest.raises(UsageError, match="choose from fp32, bf16, int8, auto"):
        runner_for(model, "fp8")  # type: ignore[arg-type]
    elsewhere = tiny_model(seed=3).to("meta")
    assert runner_for(elsewhere) is TorchRunner


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_runner_for_a_gpu() -> None:
    model = tiny_model(seed=3).to("cuda")
    assert runner_for(model) is runner_for(model, "fp32") is GraphRunner
    for storage in ("bf16", "int8"):
        with pytest.raises(UsageError, match="in fp32, not in"):
            runner_for(model, storage)  # type: ignore[arg-type]
