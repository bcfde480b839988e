"""Steps of the engine on a GPU, made by hand, and how far each part is from its plain counterpart (docs/gpu.md)."""

import argparse
from dataclasses import replace

import numpy as np
import torch

from bench.gpu import SHAPES, relative
from whetstone.engine.engine import Engine
from whetstone.engine.gpu.inputs import packed_rows
from whetstone.engine.gpu.operations import SPLIT, Operations, TorchOperations
from whetstone.engine.gpu.runner import GraphRunner
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.sampling import block_sums
from whetstone.engine.step import BLOCK, Step
from whetstone.engine.torch_runner import TorchRunner
from whetstone.errors import WorkFailed
from whetstone.models.config import ModelConfig
from whetstone.models.decoder import Decoder

CHUNK = 8192  # rows of a prefill step
LIMITS = {
    "device_error": 1e-3,  # logits of the tiny shape on the device beside torch on the CPU, fp32, relative
    "attention_error": 1e-2,  # paged attention beside plain torch, compute dtype, relative
    "sums_error": 1e-5,  # block sums beside plain torch
    "graph_error": 1e-4,  # a captured step beside the same kernels launched one by one
    "joined_error": 0.05,  # the joined form beside the plain decoder, compute dtype
    "batch_error": 0.05,  # a row alone beside the row among others, compute dtype
    "update_error": 1e-4,  # captured steps after an update in place beside a runner made after it
    "greedy_difference": 0.2,  # share of greedy texts, fp32, that differ between captured and plain torch
}


# Steps


def texts(config: ModelConfig, batch: int, length: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(batch)
    return torch.randint(1, config.vocab_size, (batch, length), generator=generator).numpy()


def tables(batch: int, length: int) -> np.ndarray:
    """Blocks for branches of `length` tokens, in no order, as a cache in use has them."""
    blocks = -(-length // BLOCK)
    return np.random.default_rng(batch).permutation(batch * blocks).astype(np.int32).reshape(batch, blocks)


def prefill_steps(ids_BT: np.ndarray, tables_BC: np.ndarray) -> list[Step]:
    """Prompts in steps of at most CHUNK rows; the last row of each branch is wanted."""
    batch, length = ids_BT.shape
    at_once = max(1, CHUNK // length)
    found = []
    for first in range(0, batch, at_once):
        ids = ids_BT[first : first + at_once]
        count = len(ids)
        positions = np.tile(np.arange(length), count)
        wanted = np.arange(1, count + 1) * length - 1
        owner = np.repeat(np.arange(count), length)
        found.append(Step(ids.ravel(), positions, owner, tables_BC[first : first + at_once], wanted))
    return found


def decode_step(ids_B: np.ndarray, position: int, tables_BC: np.ndarray) -> Step:
    batch = len(ids_B)
    everyone = np.arange(batch)
    return Step(ids_B.astype(np.int64), np.full(batch, position), everyone, tables_BC, everyone)


def filled(runner: TorchRunner, ids_BT: np.ndarray, tables_BC: np.ndarray) -> torch.Tensor:
    """Put the prompts into the runner's cache; the logits of their last rows."""
    runner.refresh()
    with torch.inference_mode():
        return torch.cat([runner.run(step).clone() for step in prefill_steps(ids_BT, tables_BC)])


def decoded(runner: TorchRunner, step: Step) -> torch.Tensor:
    with torch.inference_mode():
        return runner.run(step).clone()


def blocks_for(batch: int, length: int) -> int:
    return batch * -(-length // BLOCK)


# Checks


def check(model: Decoder, options: argparse.Namespace, operations: Operations) -> dict[str, float]:
    """How far each part is from its plain counterpart. Leaves the model in bf16."""
    found = {"device_error": device_error(options.device, operations)}
    found["attention_error"] = attention_error(model, operations)
    found["sums_error"] = sums_error(model, operations)
    if options.device == "cpu" or model.config.width < 1024:  # fp32 copies of a larger model say no more
        found["greedy_difference"] = greedy_difference(model, operations)
    model.compute_dtype = torch.bfloat16
    return found | step_errors(model, operations)


def device_error(device: str, operations: Operations) -> float:
    """Prefill and three captured steps of the tiny shape beside TorchRunner on the CPU, both in fp32."""
    results = []
    for where in ("cpu", device):
        model = Decoder(SHAPES["tiny"]).randomise(0).to(where)
        blocks = blocks_for(5, 40)
        runner = TorchRunner(model, blocks) if not results else GraphRunner(model, blocks, operations=operations)
        ids_BT, tables_BC = texts(model.config, 5, 40), tables(5, 40)
        logits = [filled(runner, ids_BT[:, :37], tables_BC)]
        logits += [decoded(runner, decode_step(ids_BT[:, place], place, tables_BC)) for place in (37, 38, 39)]
        results.append(torch.cat(logits).cpu())
    return relative(results[1], results[0])


def attention_error(model: Decoder, operations: Operations) -> float:
    """The worst of short and long contexts, whole, split and in tiles, with and without a window."""
    config, dtype, worst = model.config, torch.bfloat16, 0.0
    for length, count in ((40, 1), (700, 1), (70, 30)):
        batch = 5
        tables_BC = tables(batch, length)
        positions = np.concatenate([np.arange(length - count - place, length - place) for place in range(batch)])
        owner = np.repeat(np.arange(batch), count)
        step = Step(np.zeros(len(owner), dtype=np.int64), positions, owner, tables_BC, np.arange(len(owner)))
        rows = packed_rows(step, 1 if count == 1 else 16, model.device)
        if count == 1:
            rows = replace(rows, splits=-(-length // SPLIT))
        shape = (tables_BC.size * BLOCK, config.kv_heads, config.head_dim)
        keys, values = (torch.randn(shape, device=model.device, dtype=dtype) for _ in "kv")
        q_NHE = torch.randn((len(owner), config.heads, config.head_dim), device=model.device, dtype=dtype)
        for window in (None, 33):
            expected = TorchOperations().attend(q_NHE.float(), keys.float(), values.float(), rows, window)
            worst = max(worst, relative(operations.attend(q_NHE, keys, values, rows, window), expected))
    return worst


def sums_error(model: Decoder, operations: Operations) -> float:
    logits_MV = 3 * torch.randn((5, model.config.vocab_size), device=model.device)
    scale_M = torch.tensor([1.0, 0.5, 2.0, 1.0, 1.0], device=model.device)
    return max(
        relative(found, expected)
        for found, expected in zip(
            operations.block_sums(logits_MV, scale_M), block_sums(logits_MV, scale_M), strict=True
        )
    )


def greedy_difference(model: Decoder, operations: Operations) -> float:
    """Share of 16 greedy texts of 32 tokens, in fp32, that differ between captured steps and plain torch."""
    model.compute_dtype = torch.float32
    requests = [Request(tuple(ids), (0,)) for ids in texts(model.config, 16, 24).tolist()]
    said = []
    for make in (TorchRunner, lambda *given: GraphRunner(*given, operations=operations)):
        engine = Engine(model, cache_bytes=64 * 256 * model.config.kv_bytes_per_token, runner=make)
        said.append([one.ids for [one] in engine.sample(requests, SamplingParams(32, temperature=0.0))])
    return sum(one != other for one, other in zip(*said, strict=True)) / len(requests)


def step_errors(model: Decoder, operations: Operations) -> dict[str, float]:
    """Logits of one decoding step, computed in several ways that ought to agree."""
    batch, length = 20, 100
    blocks = blocks_for(batch, length)
    ids_BT, tables_BC = texts(model.config, batch, length), tables(batch, length)
    step = decode_step(ids_BT[:, -1], length - 1, tables_BC)

    def logits(runner: TorchRunner) -> torch.Tensor:
        filled(runner, ids_BT[:, :-1], tables_BC)
        return decoded(runner, step)

    plain = logits(TorchRunner(model, blocks))
    launched = logits(GraphRunner(model, blocks, operations=operations, captured=False))
    runner = GraphRunner(model, blocks, operations=operations)
    captured = logits(runner)
    alone = torch.cat(
        [decoded(runner, decode_step(ids_BT[b : b + 1, -1], length - 1, tables_BC[b : b + 1])) for b in range(3)]
    )
    errors = {
        "graph_error": relative(captured, launched),
        "joined_error": relative(captured, plain),
        "batch_error": relative(alone, captured[:3]),
    }
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.9)
    updated = logits(runner)
    if relative(updated, captured) < 1e-3:
        raise WorkFailed("an update of the weights is not seen by the captured steps")
    fresh = logits(GraphRunner(model, blocks, operations=operations))
    return {**errors, "update_error": relative(updated, fresh)}
