"""What the benchmarks of a GPU share: shapes, the choice of a device, checks before times, peers, tables."""

import argparse
import gc
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch

from bench import peer, report
from whetstone.errors import UsageError, WorkFailed
from whetstone.models.config import ModelConfig, Rope
from whetstone.runs import machine

# family, vocabulary, width, layers, query heads, key-value heads, head size, channel width
SHAPES = {
    "135M": ModelConfig("llama", 49152, 576, 30, 9, 3, 64, 1536, Rope(100_000.0)),
    "0.6B": ModelConfig("qwen3", 151936, 1024, 28, 16, 8, 128, 3072, Rope(1_000_000.0), 1e-6, qk_norm="head"),
    "1B": ModelConfig(
        "llama", 128256, 2048, 16, 32, 8, 64, 8192, Rope(500_000.0, 32.0, 1.0, 4.0, 8192), max_positions=131072
    ),
    "tiny": ModelConfig("qwen3", 512, 64, 2, 4, 2, 16, 128, Rope(), qk_norm="head"),
}
SIDE = 8192  # of the square matrices whose product is timed
FALLBACK = "CPU FALLBACK, a tiny shape: this shows that the code runs; the figures mean nothing"


def add_options(parser: argparse.ArgumentParser, default_shapes: str) -> None:
    """What every one of them takes."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--device", choices=["cuda", "cpu"], help="default: cuda where there is one")
    parser.add_argument("--shapes", help=f"of {', '.join(SHAPES)}; default {default_shapes} on a GPU, tiny on a CPU")
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128, help="new tokens per completion, forced")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")


def settle(options: argparse.Namespace, default_shapes: str) -> list[str]:
    """Choose the device, and return the shapes; on a CPU texts are short, and it is said that figures mean nothing.

    Raises UsageError for a device that is not there or an unknown shape."""
    options.device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device on this machine; leave out --device cuda")
    shapes: list[str] = (options.shapes or (default_shapes if options.device == "cuda" else "tiny")).split(",")
    if unknown := [shape for shape in shapes if shape not in SHAPES]:
        raise UsageError(f"no shape {unknown[0]!r}; choose from {', '.join(SHAPES)}")
    if options.device == "cpu":
        report.say("there is no GPU here: a tiny shape on the CPU shows that the code runs; its figures mean nothing")
        options.prompt_tokens, options.tokens = min(options.prompt_tokens, 16), min(options.tokens, 8)
    return shapes


def require(checks: Mapping[str, float], limits: Mapping[str, float], shape: str) -> None:
    """Raises WorkFailed for a check beyond its limit: wrong work is not timed. What has no limit is only told."""
    for name, value in checks.items():
        if name in limits and not value <= limits[name]:  # a NaN fails too
            raise WorkFailed(f"{shape}: {name} is {value:.3g}, more than {limits[name]:g}; wrong work is not timed")


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def now(device: str) -> float:
    """Seconds, when everything that was asked of the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def release() -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def of_sheet(values: Mapping[str, float]) -> float | None:
    """The value of this GPU by the vendors' data sheets; None where the table does not know it."""
    name = torch.cuda.get_device_name()
    return next((value for known, value in values.items() if known in name), None)


def matrices(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Two in bf16 whose product keeps the device busy: 2 SIDE^3 FLOP."""
    left, right = (torch.randn(SIDE, SIDE, device=device, dtype=torch.bfloat16) for _ in range(2))
    return left, right


def interpreters(packages: Iterable[str]) -> dict[str, Path]:
    """For each peer that can be imported somewhere: the interpreter to run it with. Says which are left out."""
    apart = peer.ENVIRONMENT / "bin" / "python"
    found = {}
    for package in packages:
        if find_spec(package):
            found[package] = Path(sys.executable)
        elif apart.exists():
            found[package] = apart
        else:
            report.say(f"{package} is not installed here: its ratio is left out")
    return found


def table(device: str, dtypes: str, about: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines to print: the machine, what was measured, and columns, the first line of which are their names."""
    head = [f"{machine.describe()}; torch {torch.__version__}; {dtypes}", *about]
    if device == "cpu":
        head.insert(0, FALLBACK)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    body = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return [*head, "", *body]
