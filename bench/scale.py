"""`whet bench scale`: many samples of few questions, beside transformers' `generate(num_return_sequences=...)`.

What `whet scale` and best-of-n stand on. Ours is a `Pool`, with its file on disk, as every method draws from it: a
prompt is computed once, and samples that begin alike are computed once as long as they do. The peer makes as many rows
of a prompt as samples are wanted. Both sides: the same weights in fp32, the same prompts (two-digit sums as chat
messages), temperature 1, the same number of forced tokens (no stop token). transformers runs with its dynamic and its
static cache, and with all prompts in a call or one at a time; the quickest counts. Ours is measured before and after
the peer, with an empty cache and an empty file each time, and the mean counts.

The further rows are ours alone, for fewer samples: how the cost grows with their number. `exponent` is the slope of
log seconds over log samples: 1 is linear growth, less is better than that.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import ours, peer, report
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.samples import Pool, SampleFile
from whetstone.errors import WorkFailed
from whetstone.models.hub import DEFAULT_MODEL
from whetstone.models.loading import Loaded, load


def main() -> None:
    options = read_options()
    peer.interpreter()
    loaded = load(options.model)
    prompts = [tuple(loaded.tokenizer.chat_ids(chat)) for chat in peer.addition_chats(options.problems)]
    before = measure_ours(loaded, prompts, options)
    report.say(f"ours: {before[options.samples[-1]].seconds:.3g} s for {options.samples[-1]} samples of each prompt")
    theirs = measure_theirs(loaded.folder, prompts, options)
    after = measure_ours(loaded, prompts, options)
    report.print_rows(rows(prompts, before, after, theirs, options), options.json)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model folder or name, as `whet sharpen` takes it")
    parser.add_argument("--problems", type=int, default=2, help="different prompts")
    parser.add_argument("--samples", default="4,8,16,32", help="samples of each; the peer draws the last number")
    parser.add_argument("--tokens", type=int, default=12, help="new tokens per sample")
    parser.add_argument("--repeats", type=int, default=1, help="timed calls; the quickest counts")
    options = parser.parse_args()
    try:
        options.samples = sorted({int(count) for count in options.samples.split(",")})
    except ValueError:
        parser.error("--samples is a list such as 4,8,16,32")
    if min(*options.samples, options.problems, options.tokens, options.repeats) < 1 or len(options.samples) < 2:
        parser.error("sizes are at least 1, and there are two numbers of samples or more")
    return options


def measure_ours(
    loaded: Loaded, prompts: Sequence[tuple[int, ...]], options: argparse.Namespace
) -> dict[int, ours.Timed]:
    """The quickest pool of `repeats`, after one that warms up, by the number of samples."""
    engine = Engine(loaded.model, cache_bytes=ours.CACHE_BYTES)
    found = {}
    for count in options.samples:
        pools = [draw(engine, prompts, count, options.tokens, repeat) for repeat in range(options.repeats + 1)]
        found[count] = min(pools[1:], key=lambda pool: pool.seconds)
    return found


def draw(engine: Engine, prompts: Sequence[tuple[int, ...]], count: int, tokens: int, repeat: int) -> ours.Timed:
    """A new pool of `count` samples of each prompt. Raises WorkFailed for other work than was asked."""
    first = repeat * len(prompts) * count
    requests = [
        Request(prompt, tuple(range(first + place * count, first + (place + 1) * count)))
        for place, prompt in enumerate(prompts)
    ]
    engine.pool.forget_all()
    computed = engine.stats.computed_tokens
    with tempfile.TemporaryDirectory() as folder:
        file = SampleFile(Path(folder) / "samples.sqlite")
        begin = time.perf_counter()
        groups = Pool(engine, "bench", file).sample(requests, SamplingParams(tokens))
        seconds = time.perf_counter() - begin
        kept = len(file)
        file.close()
    made = {len(sample.completion.ids) for group in groups for sample in group}
    if made != {tokens} or kept != len(prompts) * count:
        raise WorkFailed(f"{kept} samples of {made} tokens, not {len(prompts) * count} of {tokens}")
    return ours.Timed(seconds, engine.stats.computed_tokens - computed)


def measure_theirs(
    model: Path, prompts: Sequence[tuple[int, ...]], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """The peer's results by how many prompts it had in a call; one prompt's seconds are those of all."""
    found = {}
    for size in sorted({1, len(prompts)}):
        way = f"{size} prompt{'s' if size > 1 else ''} a call"
        arguments = {
            "tokens": options.tokens,
            "batches": size,
            "samples": options.samples[-1],
            "modes": "sampled",
            "repeats": options.repeats,
        }

        def say(line: str, way: str = way) -> None:
            report.say(f"{way}: {line}")

        [result] = peer.run_generate(model, [list(prompt) for prompt in prompts], arguments, say=say).values()
        found[way] = {**result, "seconds": result["seconds"] * len(prompts) / size}
    return found


def rows(
    prompts: Sequence[tuple[int, ...]],
    before: dict[int, ours.Timed],
    after: dict[int, ours.Timed],
    theirs: dict[str, dict[str, Any]],
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """The comparison, then our growth."""
    seconds = {count: fmean((before[count].seconds, after[count].seconds)) for count in options.samples}
    most = options.samples[-1]
    way, quickest = min(theirs.items(), key=lambda item: item[1]["seconds"])
    exponent = float(np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0])
    plain = sum(map(len, prompts)) * most + len(prompts) * most * (options.tokens - 1)
    details = {"model": options.model, "problems": len(prompts), "tokens": options.tokens}

    def row(count: int, peer_seconds: float | None, note: str, **more: Any) -> dict[str, Any]:
        samples = len(prompts) * count
        return report.row(
            f"scale.pool.{len(prompts)}x{count}",
            samples / seconds[count],
            None if peer_seconds is None else samples / peer_seconds,
            "transformers generate(num_return_sequences)",
            "samples/s",
            higher_is_better=True,
            note=note,
            samples=count,
            seconds=seconds[count],
            computed_tokens=after[count].computed,
            **details,
            **more,
        )

    comparison = row(
        most,
        quickest["seconds"],
        f"{before[most].seconds:.3g} s before the peer, {after[most].seconds:.3g} s after it, the file on disk "
        f"included; theirs {quickest['seconds']:.3g} s with {way} and its {quickest['cache']} cache. Ours put "
        f"{after[most].computed} tokens through the layers, theirs {plain}. Cost grows as samples to the power of "
        f"{exponent:.2f} from {options.samples[0]} to {most} (1: linear).",
        peer_versions=quickest["versions"],
        peer_ways={name: result["seconds"] for name, result in theirs.items()},
        peer_cache=quickest["cache"],
        exponent=exponent,
    )
    growth = [
        row(count, None, f"{seconds[count]:.3g} s; {after[count].computed} tokens through the layers")
        for count in options.samples[:-1]
    ]
    return [comparison, *growth]


if __name__ == "__main__":
    report.main(main)
