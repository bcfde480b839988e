"""`whet bench llamacpp`: new tokens per second beside llama.cpp, greedy, on the same weights.

Three pairs of storage classes: fp32 beside f32, bf16 beside f16, int8 (groups of 32) beside Q8_0. Both sides: the same
prompts of the same length, all different from their first words on (nothing to share), the same number of forced
tokens, the same threads. Rows for the whole run and for decoding alone (from the moment when every sequence has its
first token). llama.cpp is built for this machine and gets all sequences in one batch; its flash attention, type and
layout of the cache and micro-batch are tuned at each batch size. Before anything is timed, its f32 continuations must
be ours token for token; a first difference is let through only where our two best logits are equal but for rounding.
The quickest of a few runs counts on both sides; ours is measured before and after the peer, and the mean counts.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from bench import ours, peer, report, roofline
from bench.gguf_writer import write_gguf
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.step import BLOCK
from whetstone.engine.torch_runner import TorchRunner
from whetstone.errors import UsageError, WorkFailed
from whetstone.models.hub import DEFAULT_MODEL
from whetstone.models.loading import Loaded, load
from whetstone.runs import machine

PAIRS = {"fp32": "f32", "bf16": "f16", "int8": "q8_0"}
TIE = 1e-3  # logits closer than this may change places by rounding
SAMPLES = 8  # answers on which the storage classes are compared with fp32


@dataclass(frozen=True)
class Best:
    """The quickest of our runs, by what is looked at: seconds of the whole, and of decoding with its tokens."""

    seconds: float
    decode_seconds: float
    decode_tokens: int


def main() -> None:
    options = read_options()
    peer.interpreter()
    torch.set_num_threads(options.threads)
    loaded = load(options.model)
    storages = ours.runners(loaded.model)
    if missing := [storage for storage in options.storages if storage not in storages]:
        report.say(f"left out, for there is no CPU kernel here: {', '.join(missing)}")
    prompts = different_prompts(loaded, max(*options.batches, SAMPLES), options.prompt)
    speed = machine.measure()
    with tempfile.TemporaryDirectory(prefix="whetstone-gguf-") as folder:
        files = {}
        for storage in dict.fromkeys(("fp32", *options.storages)):
            files[storage] = Path(folder) / f"{PAIRS[storage]}.gguf"
            write_gguf(loaded, files[storage], PAIRS[storage])
        plain = {storage: repacking_fails(file, options) for storage, file in files.items()}
        check_agreement(loaded, files["fp32"], prompts[:SAMPLES], options)
        kl = fidelities(loaded, files, plain, prompts[:SAMPLES], options)
        for storage in [storage for storage in options.storages if storage in storages]:
            report.say(f"{storage} beside {PAIRS[storage]}")
            before = {batch: measure_ours(loaded, storage, prompts[:batch], options) for batch in options.batches}
            theirs = measure_theirs(files[storage], plain[storage], prompts, options)
            for batch in options.batches:
                runs = (before[batch], measure_ours(loaded, storage, prompts[:batch], options))
                rows = comparisons(loaded, storage, batch, runs, theirs[batch], kl, speed, options)
                report.print_rows(rows, options.json)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model folder or name, as `whet sharpen` takes it")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of each prompt")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens per completion")
    parser.add_argument("--batches", default="1,8,32", help="batch sizes")
    parser.add_argument("--storages", default="fp32,bf16,int8", help="our side of the pairs to compare")
    parser.add_argument("--threads", type=int, default=machine.usable_cores(), help="on both sides")
    parser.add_argument("--repeats", type=int, default=2, help="timed runs; the quickest counts")
    options = parser.parse_args()
    try:
        options.batches = [int(size) for size in options.batches.split(",")]
    except ValueError:
        parser.error("--batches is a list such as 1,8,32")
    options.storages = options.storages.split(",")
    if unknown := set(options.storages) - set(PAIRS):
        parser.error(f"--storages knows {', '.join(PAIRS)}, not {', '.join(sorted(unknown))}")
    if min(*options.batches, options.prompt - 7, options.tokens - 1, options.threads, options.repeats) < 1:
        parser.error("sizes are at least 1, --tokens at least 2, --prompt at least 8")
    return options


def different_prompts(loaded: Loaded, count: int, length: int) -> list[list[int]]:
    """Questions one after the other, cut to `length` tokens; no two prompts have their first block in common."""
    stream = peer.additions()
    found: list[list[int]] = []
    openings: set[tuple[int, ...]] = set()
    problems = [problem.question for problem in stream.take(2 * count + 16, distinct=True)]
    for place in range(2 * count):
        ids = loaded.tokenizer.encode(" ".join(problems[place:] + problems[:place]))[:length]
        opening = tuple(ids[:BLOCK])
        if len(ids) == length and opening not in openings:
            openings.add(opening)
            found.append(ids)
        if len(found) == count:
            return found
    raise UsageError(f"there are not {count} different prompts of {length} tokens: take fewer or shorter ones")


def requests(prompts: Sequence[Sequence[int]]) -> list[Request]:
    return [Request(tuple(prompt), (place,)) for place, prompt in enumerate(prompts)]


def measure_ours(loaded: Loaded, storage: str, prompts: Sequence[Sequence[int]], options: argparse.Namespace) -> Best:
    """The quickest of `repeats` runs, after one that warms up."""
    make = ours.runners(loaded.model)[storage]
    engine = Engine(loaded.model, max_rows=len(prompts), cache_bytes=ours.CACHE_BYTES, runner=make)
    runs = []
    for _ in range(options.repeats + 1):
        run = ours.run(engine, requests(prompts), SamplingParams(options.tokens, 0.0))
        made = {len(completion.ids) for completion in run.completions}
        if made != {options.tokens}:
            raise WorkFailed(f"completions of {made} tokens, not {options.tokens}")
        # the last token is never fed back
        fed = len(prompts) * (options.prompt + options.tokens - 1)
        if run.computed_tokens != fed:
            raise WorkFailed(f"computed {run.computed_tokens} tokens, not {fed}: the work is not equal")
        runs.append(run)
    decoding = min(runs[1:], key=lambda run: run.decode_seconds / run.decode_tokens)
    return Best(min(run.seconds for run in runs[1:]), decoding.decode_seconds, decoding.decode_tokens)


def run_llamacpp(model: Path, content: Any, timeout: float = 3600, **arguments: Any) -> list[dict[str, Any]]:
    """What bench/peers/llamacpp_batch.py prints for the content of its JSON file."""
    with peer.json_file(content) as file:
        return peer.run_peer("llamacpp_batch", str(model), str(file), *peer.options(arguments), timeout=timeout)


def repacking_fails(file: Path, options: argparse.Namespace) -> bool:
    """Whether llama.cpp cannot compute with weights repacked for this processor, as it does unless told otherwise.

    On some machines its AMX products end with a segmentation fault (ggml-org/llama.cpp issue 20824); a process of
    its own finds out.
    """
    prompts = [list(range(3, 19)), list(range(4, 20))]
    try:
        run_llamacpp(file, prompts, tokens=3, batches="2", threads=options.threads, repeats=1, tune="0")
    except WorkFailed:
        report.say(
            f"llama.cpp fails with repacked weights of {file.name} here: it goes on with the weights as they are"
        )
        return True
    return False


def measure_theirs(
    file: Path, plain: bool, prompts: Sequence[Sequence[int]], options: argparse.Namespace
) -> dict[int, dict[str, Any]]:
    """The peer's result by batch size."""
    found = run_llamacpp(
        file,
        prompts,
        tokens=options.tokens,
        batches=",".join(map(str, options.batches)),
        threads=options.threads,
        repeats=options.repeats,
        **{"plain-buffers": plain},
    )
    return {result["batch"]: result for result in found}


def check_agreement(loaded: Loaded, file: Path, prompts: Sequence[Sequence[int]], options: argparse.Namespace) -> None:
    """The same weights mean the same words: raise WorkFailed unless both say the same."""
    batch = len(prompts)
    [theirs] = run_llamacpp(
        file, prompts, tokens=options.tokens, batches=batch, threads=options.threads, repeats=1, tune="0"
    )
    make = ours.runners(loaded.model)["fp32"]
    engine = Engine(loaded.model, max_rows=batch, cache_bytes=ours.CACHE_BYTES, runner=make)
    run = ours.run(engine, requests(prompts), SamplingParams(options.tokens, 0.0))
    tied = 0
    for prompt, completion, ids in zip(prompts, run.completions, theirs["ids"], strict=True):
        place = first_difference(completion.ids, ids)
        if place is None:
            continue
        gap = best_two_gap(loaded, [*prompt, *completion.ids[:place]])
        if gap > TIE:
            raise WorkFailed(
                f"llama.cpp says {ids[place]} where we say {completion.ids[place]}, after {place} equal tokens, and "
                f"our two best logits are {gap:.2g} apart: the two do not compute the same model"
            )
        tied += 1
    report.say(f"llama.cpp's f32 continuations are ours: {batch - tied} of {batch} to the last token, {tied} to a tie")


def first_difference(ours_: Sequence[int], theirs: Sequence[int]) -> int | None:
    """The first place where two lists of one length differ."""
    return next((place for place, (a, b) in enumerate(zip(ours_, theirs, strict=True)) if a != b), None)


def best_two_gap(loaded: Loaded, ids: Sequence[int]) -> float:
    """How far apart the two largest logits after `ids` are."""
    runner = TorchRunner(loaded.model, -(-(len(ids) + 1) // BLOCK))
    best = ours.answer_logits(runner, [*ids, 0], len(ids))[0].topk(2).values
    return float(best[0] - best[1])


def fidelities(
    loaded: Loaded,
    files: dict[str, Path],
    plain: dict[str, bool],
    prompts: Sequence[Sequence[int]],
    options: argparse.Namespace,
) -> dict[str, ours.Fidelity]:
    """How far each storage class, ours and the peer's by its own name, is from fp32 in torch."""
    engine = Engine(loaded.model, cache_bytes=ours.CACHE_BYTES, runner=ours.runners(loaded.model)["fp32"])
    samples = ours.own_samples(engine, prompts, options.tokens)
    lengths = [len(prompt) for prompt in prompts]
    found = ours.fidelities(loaded.model, samples, lengths)
    runner = TorchRunner(loaded.model, -(-max(map(len, samples)) // BLOCK))
    reference = [ours.answer_logits(runner, *each) for each in zip(samples, lengths, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        for storage, file in files.items():
            path = os.path.join(folder, "scores.npy")
            asked = list(zip(samples, lengths, strict=True))
            run_llamacpp(file, asked, threads=options.threads, scores=path, **{"plain-buffers": plain[storage]})
            theirs = torch.from_numpy(np.load(path)).split([len(each) for each in reference])
            found[PAIRS[storage]] = ours.fidelity(reference, theirs)
    return found


def comparisons(
    loaded: Loaded,
    storage: str,
    batch: int,
    runs: tuple[Best, Best],
    theirs: dict[str, Any],
    kl: dict[str, ours.Fidelity],
    speed: machine.Speed,
    options: argparse.Namespace,
) -> Iterator[dict[str, Any]]:
    """The rows of the whole run and of decoding alone."""
    tokens = options.tokens
    rest = batch * (tokens - 1)
    whole = roofline.run(loaded.model, storage, batch, [options.prompt] * batch, tokens, speed)
    decoding = roofline.decoding(loaded.model, storage, batch, options.prompt, tokens - 1, speed)
    parts = {
        "whole": (batch * tokens, [batch * tokens / run.seconds for run in runs], theirs["seconds"], whole),
        "decode": (rest, [run.decode_tokens / run.decode_seconds for run in runs], theirs["decode_seconds"], decoding),
    }
    fidelity = {name: kl[name] for name in (storage, PAIRS[storage]) if name in kl}
    for part, (made, (before, after), peer_seconds, bound) in parts.items():
        speeds = fmean((before, after)), made / peer_seconds
        shares = [bound.share(made / each) for each in speeds]
        apart = "; ".join(f"{name}: {each}" for name, each in fidelity.items())
        note = (
            f"{before:.4g} tokens/s before the peer, {after:.4g} after it. {made / bound.seconds:.4g} are possible "
            f"(bound by {bound.by}): ours {shares[0]:.0%}, theirs {shares[1]:.0%}. {apart}. "
            f"llama.cpp at its quickest: {theirs['settings']}."
        )
        yield report.row(
            f"llamacpp.{storage}.batch{batch}.{part}",
            *speeds,
            f"llama.cpp {PAIRS[storage]}",
            "tokens/s",
            higher_is_better=True,
            peer_versions=theirs["versions"],
            note=note,
            model=options.model,
            batch=batch,
            prompt=options.prompt,
            tokens=tokens,
            threads=options.threads,
            storage=storage,
            peer_storage=PAIRS[storage],
            ours_before=before,
            ours_after=after,
            possible=made / bound.seconds,
            bound_by=bound.by,
            share=shares[0],
            peer_share=shares[1],
            fidelity={name: {"kl": each.kl, "agreement": each.agreement} for name, each in fidelity.items()},
            peer_settings=theirs["settings"],
            peer_tried=theirs["tried"],
            peer_system=theirs["system"],
            machine_gflops=speed.matmul,
            machine_read_bandwidth=speed.read,
        )


if __name__ == "__main__":
    report.main(main)
