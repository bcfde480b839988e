"""`whet bench generate`: new tokens per second, end to end, beside transformers' `generate`.

Both sides: the same weights in fp32, the same prompts (two-digit sums as chat messages), the same number of forced
tokens (no stop token); the time covers prompt, every new token and its choice. Two workloads: different prompts at
several batch sizes, sampled (T = 1) and greedy; and a group workload, few prompts with many samples each, where
transformers gets every row spelled out. transformers runs with its dynamic and its static cache, the quicker counts.
The quickest of a few calls counts on both sides; ours is measured before and after the peer, and the mean counts. Our
cache is emptied before each call: every call computes its prompts.

Where the CPU kernel runs there are further rows for weights stored as bf16 and int8, beside the same peer: not equal
work, so each says how far its distribution is from that of fp32, on text that the model itself wrote at T = 1.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import ours, peer, report, roofline
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.errors import WorkFailed
from whetstone.models.hub import DEFAULT_MODEL
from whetstone.models.loading import Loaded, load
from whetstone.runs import machine

TEMPERATURE = {"sampled": 1.0, "greedy": 0.0}
SAMPLES, SAMPLE_TOKENS = 8, 48  # on which storage classes are compared with fp32


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
    before = [measure_ours(loaded, work, "fp32", options) for work in works]
    report.say("ours is measured; now transformers")
    theirs = [measure_theirs(loaded, group, options) for group in by_prompts(works)]
    found = {name: result for each in theirs for name, result in each.items()}
    speed = machine.measure()
    for work, earlier in zip(works, before, strict=True):
        later = measure_ours(loaded, work, "fp32", options)
        row = comparison(loaded, work, "fp32", (earlier, later), found[work.name], speed, options)
        report.print_rows([row], options.json)
    others = [storage for storage in ours.runners(loaded.model) if storage != "fp32"]
    fidelity = storage_fidelity(loaded) if others else {}
    for storage in others:
        for work in works:
            runs = (measure_ours(loaded, work, storage, options),)
            row = comparison(loaded, work, storage, runs, found[work.name], speed, options, fidelity[storage])
            report.print_rows([row], options.json)


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


def measure_ours(loaded: Loaded, work: Work, storage: str, options: argparse.Namespace) -> ours.Timed:
    """The quickest of `repeats` calls, after one that warms up."""
    make = ours.runners(loaded.model)[storage]
    engine = Engine(loaded.model, max_rows=work.batch, cache_bytes=ours.CACHE_BYTES, runner=make)
    params = SamplingParams(options.tokens, TEMPERATURE[work.mode])
    calls = []
    for repeat in range(options.repeats + 1):
        seeds = range(repeat * work.batch, (repeat + 1) * work.batch)
        requests = [
            Request(prompt, tuple(seeds[place * work.samples : (place + 1) * work.samples]))
            for place, prompt in enumerate(work.prompts)
        ]
        run = ours.run(engine, requests, params)
        made = {len(completion.ids) for completion in run.completions}
        if made != {options.tokens}:
            raise WorkFailed(f"completions of {made} tokens, not {options.tokens}")
        calls.append(ours.Timed(run.seconds, run.computed_tokens))
    return min(calls[1:], key=lambda call: call.seconds)


def storage_fidelity(loaded: Loaded) -> dict[str, ours.Fidelity]:
    """How far each storage class is from fp32, on answers to the benchmark's own questions."""
    prompts = [loaded.tokenizer.chat_ids(chat) for chat in peer.addition_chats(SAMPLES)]
    engine = Engine(loaded.model, cache_bytes=ours.CACHE_BYTES, runner=ours.runners(loaded.model)["fp32"])
    samples = ours.own_samples(engine, prompts, SAMPLE_TOKENS)
    return ours.fidelities(loaded.model, samples, [len(prompt) for prompt in prompts])


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
    storage: str,
    runs: tuple[ours.Timed, ...],
    theirs: dict[str, Any],
    speed: machine.Speed,
    options: argparse.Namespace,
    fidelity: ours.Fidelity | None = None,
) -> dict[str, Any]:
    """One row. fp32 has two runs, one before and one after the peer; the other storage classes one, after it."""
    made = work.batch * options.tokens
    seconds = fmean(run.seconds for run in runs)
    prompts = [len(prompt) for prompt in work.prompts]
    computed = runs[0].computed
    bound = roofline.run(loaded.model, storage, work.batch, prompts, options.tokens, speed)
    speeds = " before the peer, ".join(f"{made / run.seconds:.4g} tokens/s" for run in runs) + " after it"
    possible = f"{made / bound.seconds:.4g} are possible (bound by {bound.by}): ours {bound.share(seconds):.0%}"
    if storage == "fp32":
        possible += f", theirs {bound.share(made / theirs['tokens_per_second']):.0%}"
    apart = "" if fidelity is None else f"Not equal work: weights stored as {storage}, {fidelity}. "
    note = (
        f"{apart}{speeds}. {possible}. Ours put {computed} tokens through the layers, what prompts share only once; "
        f"transformers' prompts alone have {theirs['prompt_tokens']}, with its {theirs['cache']} cache."
    )
    return report.row(
        work.name if storage == "fp32" else f"{work.name}.{storage}",
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
        storage=storage,
        kernel=ours.has_kernel(loaded.model),
        ours_runs=[made / run.seconds for run in runs],
        computed_tokens=computed,
        peer_cache=theirs["cache"],
        peer_cache_seconds=theirs["cache_seconds"],
        possible=made / bound.seconds,
        bound_by=bound.by,
        share=bound.share(seconds),
        fidelity=None if fidelity is None else {"kl": fidelity.kl, "agreement": fidelity.agreement},
        machine_gflops=speed.matmul,
        machine_read_bandwidth=speed.read,
    )


if __name__ == "__main__":
    report.main(main)
