"""The engine on a GPU: checked, timed, and set beside what the device could do, in one call.

    python bench/gpu_engine.py

Needs torch (2.11 or newer), numpy and the repository, triton for the kernels; no network, no weights, no tokenizer. The
models have the sizes of SmolLM2-135M and Llama 3.2 1B and random parameters; prompts are random token ids. Activations,
cache and the layers' weights are bf16, the output head and log-softmax fp32. Before anything is timed the arithmetic is
checked; a check that fails ends the script with exit code 1. Where transformers can be imported its continuous batching
does the same work; where not, that is said and the ratio is left out. It stays below ten minutes: what is not begun
after `--seconds` is left out and named. Without a GPU the same code runs with a tiny shape on the CPU: that shows that
it runs, its figures mean nothing.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import gpu, peer, report
from bench.gpu import SHAPES, interpreters, now, release, require
from bench.gpu_steps import LIMITS, blocks_for, check, decode_step, filled, tables, texts
from whetstone.engine.engine import Engine
from whetstone.engine.gpu.head import Head
from whetstone.engine.gpu.operations import Operations, TorchOperations
from whetstone.engine.gpu.runner import GraphRunner
from whetstone.engine.gpu.triton_operations import TritonOperations, operations_for
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.step import BLOCK
from whetstone.errors import WorkFailed
from whetstone.models.config import ModelConfig, to_hf
from whetstone.models.decoder import Decoder, Linear
from whetstone.runs import machine

# Bytes/s by the vendors' data sheets; measured ones are printed beside them.
BANDWIDTHS = {"H200": 4.8e12, "H100": 3.35e12, "A100": 2.04e12}
DEFAULT_SHAPES = "135M,1B"
HEADS = ("fp32", "tf32x3", "bf16")
TARGET_SHARE, TARGET_RATIO = 0.5, 3.0
PEER_SECONDS = 90.0  # for one shape; what it has not begun by then it leaves out


def main() -> None:
    options = read_options()
    shapes = gpu.settle(options, DEFAULT_SHAPES)
    options.batches = [int(batch) for batch in options.batches.split(",")]
    if options.device == "cpu":
        options.batches = sorted({min(batch, 4) for batch in options.batches})
    options.end = time.monotonic() + options.seconds
    device = measure_device(options)
    operations = operations_for(torch.device(options.device))
    if not isinstance(operations, TritonOperations):
        report.say("no Triton kernels on this device: attention gathers in plain torch")
    found = [measure(shape, options, device, operations) for shape in shapes]
    if options.json:
        for each in found:
            report.print_rows(rows(each, options, device), as_json=True)
    else:
        print(table(found, options, device))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    gpu.add_options(parser, DEFAULT_SHAPES)
    parser.add_argument("--batches", default="1,16,64,256")
    parser.add_argument("--repeats", type=int, default=2, help="timed calls after one to warm up; the quickest counts")
    parser.add_argument("--seconds", type=float, default=440, help="no new measurement is begun after that")
    return parser.parse_args()


@dataclass(frozen=True)
class Device:
    """What the device can do: measured bytes/s (a copy, read and written) and bf16 FLOP/s, and the data sheet's."""

    bandwidth: float
    flops: float
    sheet_bandwidth: float | None


@dataclass
class Speed:
    """One batch size. Seconds; `step` is one decoding step of the runner alone, in the middle of the text."""

    batch: int
    step: float
    limit: float
    limited_by: str
    tokens_per_second: float = math.nan
    engine_step: float = math.nan
    peer: dict[str, Any] | None = None

    @property
    def share(self) -> float:
        """Of what bandwidth and arithmetic allow, that the runner's step reaches."""
        return self.limit / self.step


@dataclass
class Found:
    """What was measured for one shape."""

    shape: str
    parameters: int
    checks: dict[str, float]
    speeds: list[Speed] = field(default_factory=list)
    heads: dict[str, dict[str, float]] = field(default_factory=dict)
    variants: dict[str, dict[int, float]] = field(default_factory=dict)
    prefill: float = math.nan
    left_out: list[str] = field(default_factory=list)


def measure_device(options: argparse.Namespace) -> Device:
    if options.device == "cpu":
        speed = machine.measure()
        return Device(speed.bandwidth * 1e9, speed.matmul * 1e9, None)
    left, right = gpu.matrices("cuda")
    source = torch.randn(2**29, device="cuda")
    target = torch.empty_like(source)
    copying = seconds_of(lambda: target.copy_(source), "cuda")
    multiplying = seconds_of(lambda: torch.mm(left, right), "cuda")
    return Device(2 * source.numel() * 4 / copying, 2 * gpu.SIDE**3 / multiplying, gpu.of_sheet(BANDWIDTHS))


def seconds_of(work: Callable[[], object], device: str, repeats: int = 30) -> float:
    """Median seconds of a call, after three that warm up; on a GPU between events, with the queue kept full."""
    for _ in range(3):
        work()
    if device == "cpu":
        times = []
        for _ in range(min(repeats, 5)):
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
        return median(times)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    events[0].record()
    for event in events[1:]:
        work()
        event.record()
    torch.cuda.synchronize()
    return median(before.elapsed_time(after) for before, after in pairwise(events)) / 1e3


def measure(shape: str, options: argparse.Namespace, device: Device, operations: Operations) -> Found:
    """Check the shape's arithmetic and time it. Raises WorkFailed when a check fails."""
    report.say(f"== {shape}")
    config = SHAPES[shape]
    model = Decoder(config).randomise(0).to(options.device)
    checks = check(model, options, operations)
    report.say("checks: " + ", ".join(f"{name} {value:.2g}" for name, value in checks.items()))
    require(checks, LIMITS, shape)
    found = Found(shape, sum(parameter.numel() for parameter in model.parameters()), checks)
    model.compute_dtype = torch.bfloat16
    time_steps(model, options, device, operations, found)
    time_engine(model, options, operations, found)
    compare_variants(model, options, operations, found)
    del model
    release()
    if not options.no_peers:
        time_peer(config, options, found)
    return found


def in_time(options: argparse.Namespace, found: Found, what: str) -> bool:
    if time.monotonic() < options.end:
        return True
    report.say(f"no time is left for {what}")
    found.left_out.append(what)
    return False


# Times


def step_limit(model: Decoder, head_bytes: int, batch: int, context: int, device: Device) -> tuple[float, str]:
    """Seconds below which no step can come: every weight and every key and value read once, or the arithmetic."""
    layers = sum(module.weight.numel() for module in model.layers.modules() if isinstance(module, Linear))
    narrow = model.compute_dtype.itemsize
    cache = batch * context * model.config.kv_bytes_per_token // 4 * narrow
    moving = (layers * narrow + head_bytes + cache) / device.bandwidth
    computing = 2 * batch * (layers + model.head_weight_VD.numel()) / device.flops
    return max(moving, computing), "bytes" if moving > computing else "FLOP"


def time_steps(
    model: Decoder, options: argparse.Namespace, device: Device, operations: Operations, found: Found
) -> None:
    """A decoding step in the middle of the text, at each batch size and with each head; prefill of the largest."""
    length = options.prompt_tokens + options.tokens // 2
    for batch in options.batches:
        if not in_time(options, found, f"steps of batch {batch}"):
            return
        ids_BT, tables_BC = texts(model.config, batch, length + 1), tables(batch, length + 1)
        step = decode_step(ids_BT[:, -1], length, tables_BC)
        runner = GraphRunner(model, blocks_for(batch, length + 1), operations=operations)
        filled(runner, ids_BT[:, :-1], tables_BC)
        if batch == max(options.batches):
            begin = now(options.device)
            filled(runner, ids_BT[:, :-1], tables_BC)
            found.prefill = batch * length / (now(options.device) - begin)
        with torch.inference_mode():
            seconds = seconds_of(lambda runner=runner, step=step: runner.run(step), options.device)
            wide = Head(model, "fp32", operations)
            limit, limited_by = step_limit(model, wide.bytes, batch, length, device)
            found.speeds.append(Speed(batch, seconds, limit, limited_by))
            time_heads(model, runner.hidden(step), operations, options.device, found)
        report.say(f"batch {batch}: {seconds * 1e3:.3g} ms a step, limit {limit * 1e3:.3g} ms ({limited_by})")
        del runner, wide
        release()


def time_heads(model: Decoder, hidden_MD: torch.Tensor, operations: Operations, device: str, found: Found) -> None:
    """Seconds of each head alone, and the divergence of its distributions from those of the exact one, in nats."""
    hidden_MD = hidden_MD.to(model.compute_dtype)
    batch = len(hidden_MD)
    exact_MV: torch.Tensor | None = None
    for kind in HEADS:
        head = Head(model, kind, operations)
        out_MV = torch.empty((batch, model.config.vocab_size), device=hidden_MD.device)
        seconds = seconds_of(lambda head=head, out_MV=out_MV: head.write(hidden_MD, out_MV), device)
        logprobs_MV = out_MV.double().log_softmax(-1)
        exact_MV = logprobs_MV if exact_MV is None else exact_MV
        kl = float((exact_MV.exp() * (exact_MV - logprobs_MV)).sum(-1).mean())
        found.heads.setdefault(kind, {}).update({f"seconds.{batch}": seconds, f"kl.{batch}": kl})


def time_engine(model: Decoder, options: argparse.Namespace, operations: Operations, found: Found) -> None:
    """Tokens/s of whole completions, prompts and sampling included."""
    params = SamplingParams(options.tokens)
    width = options.prompt_tokens + options.tokens
    for speed in found.speeds:
        if not in_time(options, found, f"the engine at batch {speed.batch}"):
            return
        batch = speed.batch
        blocks = blocks_for(batch, width) + 2 * batch
        engine = Engine(
            model,
            max_rows=batch,
            cache_bytes=blocks * BLOCK * model.config.kv_bytes_per_token,
            runner=lambda *given: GraphRunner(*given, operations=operations),
        )
        times = []
        for repeat in range(options.repeats + 1):
            prompts = texts(model.config, batch, options.prompt_tokens).tolist()
            prompts = [(1 + (ids[0] + repeat) % 100, *ids[1:]) for ids in prompts]  # nothing is found in the cache
            requests = [Request(ids, (1000 * repeat + place,)) for place, ids in enumerate(prompts)]
            begin, steps = now(options.device), engine.stats.steps
            engine.sample(requests, params)
            times.append((now(options.device) - begin, engine.stats.steps - steps))
        seconds, steps = min(times[1:])
        speed.tokens_per_second, speed.engine_step = batch * options.tokens / seconds, seconds / steps
        report.say(f"batch {batch}: {speed.tokens_per_second:.4g} tokens/s")
        del engine
        release()


class LibraryProducts(TritonOperations):
    """The kernels, but the matrix library's product for a single row too."""

    def linear(self, x_ND: torch.Tensor, weight_OD: torch.Tensor, bias_O: torch.Tensor | None) -> torch.Tensor:
        return TorchOperations().linear(x_ND, weight_OD, bias_O)

    def head(self, hidden_MD: torch.Tensor, weight_VD: torch.Tensor, out_MV: torch.Tensor, exact: bool) -> None:
        TorchOperations().head(hidden_MD, weight_VD, out_MV, exact)


def compare_variants(model: Decoder, options: argparse.Namespace, operations: Operations, found: Found) -> None:
    """Seconds of a decoding step without each of the measures taken, to see what each is worth."""
    variants: dict[str, dict[str, Any]] = {
        "as it is": {},
        "launched, not captured": {"captured": False},
        "plain decoder, captured": {"fused": False},
        "plain decoder, launched": {"fused": False, "captured": False},
        "torch instead of Triton": {"operations": TorchOperations()},
    }
    if isinstance(operations, TritonOperations):
        variants["library products at one row"] = {"operations": LibraryProducts()}
    length = options.prompt_tokens + options.tokens // 2
    for batch in sorted({options.batches[0], options.batches[-1]}):
        ids_BT, tables_BC = texts(model.config, batch, length + 1), tables(batch, length + 1)
        step = decode_step(ids_BT[:, -1], length, tables_BC)
        for name, changes in variants.items():
            if not in_time(options, found, f"{name} at batch {batch}"):
                return
            runner = GraphRunner(model, blocks_for(batch, length + 1), **{"operations": operations, **changes})
            filled(runner, ids_BT[:, :-1], tables_BC)
            with torch.inference_mode():
                seconds = seconds_of(lambda runner=runner, step=step: runner.run(step), options.device)
            found.variants.setdefault(name, {})[batch] = seconds
            del runner
            release()


# The peer


def time_peer(config: ModelConfig, options: argparse.Namespace, found: Found) -> None:
    """transformers' continuous batching on the same sizes; what fails is said and left out."""
    python = interpreters(("transformers",)).get("transformers")
    if python is None or not in_time(options, found, "transformers"):
        return
    narrow = options.device == "cuda"
    content = to_hf(config) | {"dtype": "bfloat16" if narrow else "float32"}
    left = options.end - time.monotonic()
    arguments = {
        "prompt-tokens": options.prompt_tokens,
        "tokens": options.tokens,
        "batches": ",".join(str(speed.batch) for speed in found.speeds),
        "ways": "default,graphs" if narrow else "default",
        "repeats": options.repeats,
        "seconds": min(PEER_SECONDS, left / 2),
        "dtype": content["dtype"],
        "device": options.device,
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(content, file)
        file.flush()
        try:
            results = peer.run_peer(
                "hf_continuous", file.name, *peer.options(arguments), timeout=left + 60, python=python
            )
        except WorkFailed as error:
            report.say(f"transformers is left out: {error}")
            found.left_out.append("transformers")
            return
    for speed in found.speeds:
        mine = [result for result in results if result["batch"] == speed.batch]
        speed.peer = max(mine, key=lambda result: result["tokens_per_second"], default=None)


# Results


def rows(found: Found, options: argparse.Namespace, device: Device) -> Iterable[dict[str, Any]]:
    """The contract's rows, one a batch size: our tokens/s beside the peer's."""
    for speed in found.speeds:
        if math.isnan(speed.tokens_per_second):
            continue
        theirs = speed.peer
        yield report.row(
            f"gpu_engine.{found.shape}.batch{speed.batch}",
            speed.tokens_per_second,
            None if theirs is None else theirs["tokens_per_second"],
            "transformers continuous batching",
            "tokens/s",
            higher_is_better=True,
            peer_versions=None if theirs is None else theirs["versions"],
            device=options.device,
            dtype="bfloat16 activations, cache and layers, float32 head",
            prompt_tokens=options.prompt_tokens,
            tokens=options.tokens,
            parameters=found.parameters,
            checks=found.checks,
            step_seconds=speed.step,
            engine_step_seconds=speed.engine_step,
            limit_seconds=speed.limit,
            limited_by=speed.limited_by,
            share_of_limit=speed.share,
            measured_bandwidth=device.bandwidth,
            sheet_bandwidth=device.sheet_bandwidth,
            measured_flops=device.flops,
            heads=found.heads,
            variants={
                name: {str(batch): value for batch, value in each.items()} for name, each in found.variants.items()
            },
            prefill_tokens_per_second=found.prefill,
            left_out=found.left_out,
            peer_details=theirs,
        )


def table(found: list[Found], options: argparse.Namespace, device: Device) -> str:
    sheet = "" if device.sheet_bandwidth is None else f" (data sheet {device.sheet_bandwidth / 1e12:.3g})"
    about = [
        f"measured: {device.bandwidth / 1e12:.3g} TB/s{sheet}, {device.flops / 1e12:.4g} bf16 TFLOP/s; prompt "
        f"{options.prompt_tokens} + {options.tokens} forced tokens, temperature 1",
        f"aims: {TARGET_SHARE:.0%} of the limit at batch 1 of the 1B shape, {TARGET_RATIO:g} x transformers",
    ]
    columns = [
        "shape",
        "batch",
        "tok/s",
        "engine ms/step",
        "runner ms/step",
        "limit ms",
        "by",
        "share",
        "x transformers",
    ]
    lines = [columns]
    for each in found:
        for speed in each.speeds:
            ratio = "-"
            if speed.peer is not None:
                ratio = f"{speed.tokens_per_second / speed.peer['tokens_per_second']:.2f} ({speed.peer['way']})"
            milliseconds = [f"{value * 1e3:.3g}" for value in (speed.engine_step, speed.step, speed.limit)]
            cells = [each.shape, str(speed.batch), f"{speed.tokens_per_second:.4g}", *milliseconds]
            lines.append([*cells, speed.limited_by, f"{speed.share:.0%}", ratio])
    dtypes = "bf16 activations, cache and layers, fp32 head"
    body = gpu.table(options.device, dtypes, about, lines)
    return "\n".join([*body, "", *(line for each in found for line in details(each))])


def details(found: Found) -> list[str]:
    """Heads, variants and prefill of a shape, a line each."""
    lines = [f"{found.shape}: prefill {found.prefill:.4g} tokens/s"]
    for kind, values in found.heads.items():
        shown = ", ".join(
            f"{values[f'seconds.{batch}'] * 1e6:.0f} us at {batch} (KL {values[f'kl.{batch}']:.1e})"
            for batch in (speed.batch for speed in found.speeds)
        )
        lines.append(f"{found.shape}: head {kind}: {shown}")
    for name, by_batch in found.variants.items():
        shown = ", ".join(f"{seconds * 1e3:.3g} ms at {batch}" for batch, seconds in by_batch.items())
        lines.append(f"{found.shape}: step, {name}: {shown}")
    if found.left_out:
        lines.append(f"{found.shape}: left out for want of time or by failure: {', '.join(found.left_out)}")
    return lines


if __name__ == "__main__":
    report.main(main)
