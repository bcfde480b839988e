"""Run a peer in its own environment, so that its packages never meet ours; and the work that both sides get."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError, WorkFailed
from whetstone.runs import machine
from whetstone.tasks.arithmetic import Addition
from whetstone.tasks.keys import Key, Partition, Stream
from whetstone.tasks.task import DEFAULT_STYLES, Message

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-bench"
MICRO_BATCHES = (8, 16, 32, 64, 128)
TUNING_SECONDS = 1800.0
CACHES = ("dynamic", "static")
# A micro-batch twice as large takes at most twice the memory; it is tried only where that leaves room for others.
MEMORY_SHARE = 0.7
STYLE = DEFAULT_STYLES["only"]

Say = Callable[[str], None]


@cache
def additions() -> Stream:
    """The problems that both sides work on: two-digit sums, always the same."""
    secret = b"whetstone bench"
    return Stream(Addition(), Key.derive(secret, "train"), "train", 2, Partition(Key.derive(secret, "partition")))


def addition_chats(count: int) -> list[list[Message]]:
    """The first `count` different problems as chat messages, in the style "only"."""
    stream = additions()
    return [STYLE.messages(stream.task, problem) for problem in stream.take(count, distinct=True)]


def interpreter() -> Path:
    """The peers' own Python. Raises UsageError if it is not installed."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise UsageError(f"the peers are not installed ({ENVIRONMENT.name} is missing): run `make bench-setup`")
    return python


def run_peer(
    script: str,
    *arguments: str,
    threads: int | None = None,
    timeout: float = 3600,
    python: Path | None = None,
) -> list[dict[str, Any]]:
    """Run bench/peers/SCRIPT.py with the arguments; return the JSON objects that it printed, one per line.

    threads: for OpenMP in the peer, all cores if None. timeout: seconds. python: an interpreter that has the peer's
    packages, .venv-bench's if None. The peer's own chatter (stderr) is shown only if it fails. Raises UsageError if
    its environment is missing, WorkFailed if it fails or prints no result.
    """
    python = python or interpreter()
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    command = [str(python), str(ROOT / "bench" / "peers" / f"{script}.py"), *arguments]
    return run_apart(f"the peer {script}", command, environment, timeout)


def run_apart(
    name: str, command: Sequence[str], environment: dict[str, str] | None = None, timeout: float = 3600
) -> list[dict[str, Any]]:
    """Run a command in a process of its own; return the JSON objects that it printed. Raises WorkFailed."""
    try:
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise WorkFailed(f"{name} did not finish within {timeout:.0f} s") from error
    rows = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]
    if answer.returncode != 0 or not rows:
        tail = " | ".join(answer.stderr.strip().splitlines()[-3:])
        raise WorkFailed(f"{name} failed (exit code {answer.returncode}): {tail}")
    return rows


def options(arguments: Mapping[str, Any]) -> list[str]:
    """`--name value` of each; a value of True is a bare flag, of False or None nothing."""
    command: list[str] = []
    for name, value in arguments.items():
        if value is True:
            command.append(f"--{name}")
        elif value is not None and value is not False:
            command += [f"--{name}", str(value)]
    return command


def run_grpo(
    model: Path,
    prompts: Sequence[Any],
    arguments: Mapping[str, Any],
    *,
    micro_batch: int | None = None,
    sizes: Sequence[int] = MICRO_BATCHES,
    tuning_seconds: float = TUNING_SECONDS,
    tuning_warm_up: int = 0,
    python: Path | None = None,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """TRL's GRPO at its quickest: one timed step with each of the micro-batches `sizes`, then the real run.

    arguments: of peers/trl_grpo.py by name, `prompts-per-step` and `generations` among them. micro_batch: use this one
    instead of trying. Sizes that do not divide the batch are left out, and those that are not tried after
    `tuning_seconds` (a trial under way is ended then, unless it is the first). Returns the peer's result with
    `micro_batches_tried` (seconds of the one step, or why there is none). Raises like `run_peer`.
    """
    completions = arguments["prompts-per-step"] * arguments["generations"]
    tried: dict[str, float | str] = {}
    with json_file(prompts) as file:

        def run(size: int, timeout: float = 3600, **changed: Any) -> dict[str, Any]:
            command = options({**arguments, **changed, "micro-batch": size})
            return run_peer("trl_grpo", str(model), str(file), *command, timeout=timeout, python=python)[0]

        if micro_batch is None:
            peak, until = 0.0, time.monotonic() + tuning_seconds
            for size in [size for size in sizes if completions % size == 0] or [completions]:
                if 2 * peak > MEMORY_SHARE * machine.memory_bytes():
                    tried[str(size)] = "not tried: might not fit into memory"
                    break
                left = until - time.monotonic()
                if tried and left <= 0:
                    tried[str(size)] = f"not tried: the {tuning_seconds:.0f} s for tuning were over"
                    break
                try:
                    found = run(size, left if tried else 3600, **{"warm-up": tuning_warm_up, "steps": 1})
                except WorkFailed as error:
                    if not tried:
                        raise
                    tried[str(size)] = str(error)
                    break
                tried[str(size)], peak = found["seconds_per_step"], found["peak_memory"]
                say(f"TRL, {size} completions at a time: {found['seconds_per_step']:.3g} s a step")
            seconds = {int(size): value for size, value in tried.items() if isinstance(value, float)}
            micro_batch = min(seconds, key=seconds.__getitem__)
        result = run(micro_batch)
    say(f"TRL, {micro_batch} completions at a time, warmed up: {result['seconds_per_step']:.3g} s a step")
    return {**result, "micro_batches_tried": tried}


def run_generate(
    model: Path,
    prompts: Sequence[Sequence[int]],
    arguments: Mapping[str, Any],
    *,
    python: Path | None = None,
    say: Say = lambda line: None,
) -> dict[tuple[int, str], dict[str, Any]]:
    """transformers' `generate` with its dynamic and its static cache: the quicker result by batch size and mode.

    arguments: of peers/hf_generate.py by name. Each result also has `cache`, the quicker one's name, and
    `cache_seconds`. Raises like `run_peer` when neither cache works.
    """
    found: dict[tuple[int, str], dict[str, Any]] = {}
    with json_file(prompts) as file:
        for cache in CACHES:
            say(f"transformers begins, with its {cache} cache")
            command = options({**arguments, "cache": None if cache == "dynamic" else cache})
            try:
                results = run_peer("hf_generate", str(model), str(file), *command, python=python)
            except WorkFailed as error:
                if cache == CACHES[-1] and not found:
                    raise
                say(f"transformers with its {cache} cache is left out: {error}")
                continue
            for result in results:
                say(f"transformers, {cache} cache, batch {result['batch']}: {result['seconds']:.3g} s")
                key = (result["batch"], result["mode"])
                best = found.get(key)
                seconds = {**(best["cache_seconds"] if best else {}), cache: result["seconds"]}
                if best is None or result["seconds"] < best["seconds"]:
                    best = {**result, "cache": cache}
                found[key] = {**best, "cache_seconds": seconds}
    return found


@contextmanager
def json_file(content: Any) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "content.json"
        path.write_text(json.dumps(content))
        yield path
