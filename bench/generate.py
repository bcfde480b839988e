"""`whet bench generate`: new tokens per second, end to end, beside transformers' `generate`.

Both sides: the same weights in fp32, the same prompts (two-digit sums as chat messages), the same number of forced
tokens (no stop token); the time covers prompt, every new token and its choice. Two workloads: different prompts at
several batch sizes, sampled (T = 1) and greedy; and a group workload, few prompts with many samples each, where
transformers gets every row spelled out. transformers runs with its dynamic and its static cache, the quicker counts.
The quickest of a few calls counts on both sides; ours is measured before and after the peer, and the mean counts.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import peer, report
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.errors import WorkFailed
from whetstone.models.hub import DEFAULT_MODEL
from whetstone.models.loading import Loaded, load
from whetstone.models.packing import prompt_tree
from whetstone.runs import machine

TEMPERATURE = {"sampled": 1.0, "greedy": 0.0}


@dataclass(frozen=True)
class Work:
    """One row of the benchmark: `samples` completions of each prompt, all in one batch."""

    mode: str
    prompts: tuple[tuple[int, ...], ...]
    samples: int = 1

    @property
    def batch(self) -> int:
        return len(self.prompts) * self.samples

    @property
    def name(self) -> str:
        shape = f"batch{self.batch}" if self.samples == 1 else f"groups{len(self.prompts)}x{self.samples}"
        return f"generate.{self.mode}.{shape}"


def main() -> None:
    options = read_options()
    peer.interpreter()
    loaded = load(options.model)
    works = list(workloads(loaded, options))
    before = [measure_ours(loaded, work, options) for work in works]
    report.say("ours is measured; now transformers")
    theirs = [measure_theirs(loaded, group, options) for group in by_prompts(works)]
    found = {name: result for each in theirs for name, result in each.items()}
    speed = machine.measure()
    for work, earlier in zip(works, before, strict=True):
        later = measure_ours(loaded, work, options)
        report.print_rows([comparison(loaded, work, (earlier, later), found[work.name], speed, options)], options.json)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model folder or name, as `whet sharpen` takes it")
    parser.add_argument("--tokens", type=int, default=32, help="new tokens per completion")
    parser.add_argument("--batches", default="1,8,32", help="batch sizes of the different prompts")
    parser.add_argument("--groups", default="2x16", help="prompts x samples of the group workload")
    parser.add_argument("--modes", default="sampled,greedy", help="T = 1 and T = 0")
    parser.add_argument("--repeats", type=int, default=2, help="timed calls; the quickest counts")
    options = parser.parse_args()
    try:
        options.batches = [int(size) for size in options.batches.split(",")]
        options.groups = tuple(int(size) for size in options.groups.split("x"))
        options.modes = options.modes.split(",")
    except ValueError:
        parser.error("--batches is a list such as 1,8,32, --groups such as 2x16")
    sizes = [*options.batches, *options.groups, options.tokens, options.repeats]
    if min(sizes) < 1 or len(options.groups) != 2 or options.groups[1] < 2 or set(options.modes) - set(TEMPERATURE):
        parser.error("sizes are at least 1, --groups is such as 2x16 (two samples or more), --modes sampled or greedy")
    return options


def workloads(loaded: Loaded, options: argparse.Namespace) -> Iterator[Work]:
    prompts, samples = options.groups
    chats = peer.addition_chats(max(*options.batches, prompts))
    ids = [tuple(loaded.tokenizer.chat_ids(chat)) for chat in chats]
    for mode in options.modes:
        for batch in options.batches:
            yield Work(mode, tuple(ids[:batch]))
    yield Work("sampled", tuple(ids[:prompts]), samples)


def measure_ours(loaded: Loaded, work: Work, options: argparse.Namespace) -> float:
    """Seconds of the quickest of `repeats` calls, after one that warms up."""
    engine = Engine(loaded.model, max_rows=work.batch)
    params = SamplingParams(options.tokens, TEMPERATURE[work.mode])
    times = []
    for repeat in range(options.repeats + 1):
        seeds = range(repeat * work.batch, (repeat + 1) * work.batch)
        requests = [
            Request(prompt, tuple(seeds[place * work.samples : (place + 1) * work.samples]))
            for place, prompt in enumerate(work.prompts)
        ]
        begin = time.perf_counter()
        completions = engine.sample(requests, params)
        times.append(time.perf_counter() - begin)
        made = {len(completion.ids) for group in completions for completion in group}
        if made != {options.tokens}:
            raise WorkFailed(f"completions of {made} tokens, not {options.tokens}")
    return min(times[1:])


def by_prompts(works: list[Work]) -> list[list[Work]]:
    """Works that the peer can do in one process: the different prompts, and the groups."""
    return [[work for work in works if work.samples == 1], [work for work in works if work.samples > 1]]


def measure_theirs(loaded: Loaded, works: list[Work], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The peer's result by the name of the work."""
    if not works:
        return {}
    largest = max(works, key=lambda work: work.batch)
    rows = [list(prompt) for prompt in largest.prompts for _ in range(largest.samples)]
    arguments = {
        "tokens": options.tokens,
        "batches": ",".join(str(size) for size in dict.fromkeys(work.batch for work in works)),
        "modes": ",".join(dict.fromkeys(work.mode for work in works)),
        "repeats": options.repeats,
    }
    found = peer.run_generate(loaded.folder, rows, arguments, say=report.say)
    return {work.name: found[work.batch, work.mode] for work in works}


def comparison(
    loaded: Loaded,
    work: Work,
    runs: tuple[float, float],
    theirs: dict[str, Any],
    speed: machine.Speed,
    options: argparse.Namespace,
) -> dict[str, Any]:
    made = work.batch * options.tokens
    seconds = fmean(runs)
    distinct = prompt_tree(work.prompts).tokens
    gflop = report.products(loaded.model, distinct + made - work.batch, made)
    # every step reads every weight once, however many rows it serves
    weight_bytes = sum(parameter.nbytes for parameter in loaded.model.parameters()) * options.tokens
    matmul, bandwidth = gflop / seconds / speed.matmul, weight_bytes / seconds / 1e9 / speed.bandwidth
    note = (
        f"{made / runs[0]:.4g} tokens/s before the peer, {made / runs[1]:.4g} after it. {gflop / seconds:.3g} GFLOP/s: "
        f"{matmul:.0%} of the machine's matrix products ({speed.matmul:.3g}); reading the weights takes "
        f"{bandwidth:.0%} of the bandwidth of a copy ({speed.bandwidth:.3g} GB/s). Prompt tokens: ours computes "
        f"{distinct}, transformers {theirs['prompt_tokens']}, with its {theirs['cache']} cache."
    )
    return report.row(
        work.name,
        made / seconds,
        theirs["tokens_per_second"],
        "transformers generate",
        "tokens/s",
        higher_is_better=True,
        peer_versions=theirs["versions"],
        note=note,
        model=options.model,
        mode=work.mode,
        prompts=len(work.prompts),
        samples=work.samples,
        tokens=options.tokens,
        dtype="float32",
        ours_before=made / runs[0],
        ours_after=made / runs[1],
        peer_cache=theirs["cache"],
        peer_cache_seconds=theirs["cache_seconds"],
        gflop=gflop,
        gflops=gflop / seconds,
        machine_gflops=speed.matmul,
        share_of_matmul=matmul,
        machine_bandwidth=speed.bandwidth,
        share_of_bandwidth=bandwidth,
    )


if __name__ == "__main__":
    report.main(main)
