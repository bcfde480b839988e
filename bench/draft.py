"""`whet bench draft`: new tokens per second with a draft model, beside the same engine without one.

The target keeps its weights in fp32. It is drafted for by itself with int8 and bf16 weights, and by copies of itself
that lack layers (half of the kept ones are its first, half its last). Both sides answer the same questions in the same
number of forced tokens, greedy and sampled, at several batch sizes; they take turns and the quickest run of each
counts. Every token of every answer must be the same on both sides, or the benchmark fails. Rows tell how many guesses
were right, with the number of guesses fixed, and with the pace that the engine measures for itself.
"""

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn

from bench import ours, report
from whetstone.engine.draft import Draft
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Completion, Request, SamplingParams
from whetstone.engine.speculate import Tally
from whetstone.errors import WorkFailed
from whetstone.models.decoder import Decoder
from whetstone.models.hub import DEFAULT_MODEL
from whetstone.models.loading import Loaded, load

ASKED = (
    "Why is the sky blue? Explain it to a child.",
    "Write a short story about a lighthouse keeper.",
    "What is the difference between a list and a tuple in Python?",
    "Give me a recipe for pancakes.",
    "Who was Ada Lovelace?",
    "Name five things to see in Lisbon and say why.",
    "How do I get rid of hiccups?",
    "What is 48 + 37? Show every step.",
)


def main() -> None:
    options = read_options()
    loaded = load(options.model)
    for draft in options.drafts:
        for batch in options.batches:
            for temperature in options.temperatures:
                rows = compared(loaded, draft, batch, temperature, options)
                report.print_rows(rows, options.json)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model folder or name, as `whet sharpen` takes it")
    parser.add_argument("--drafts", default="int8,bf16,int8:20,int8:10", help="storage, or storage:layers kept")
    parser.add_argument("--batches", default="1,4,8", help=f"different prompts at once, up to {len(ASKED)}")
    parser.add_argument("--temperatures", default="0,0.7,1")
    parser.add_argument("--guesses", default="2,4,pace", help="numbers, and pace for what the engine chooses")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens per answer")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each side; the quickest counts")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count processor time; only with one thread, and then fairer on a machine that others use too",
    )
    options = parser.parse_args()
    if options.cpu_time and torch.get_num_threads() > 1:
        parser.error("--cpu-time needs OMP_NUM_THREADS=1")
    try:
        options.batches = [int(size) for size in options.batches.split(",")]
        options.temperatures = [float(temperature) for temperature in options.temperatures.split(",")]
        options.drafts = options.drafts.split(",")
        options.guesses = [None if each == "pace" else int(each) for each in options.guesses.split(",")]
    except ValueError:
        parser.error("--batches and --guesses are lists such as 1,4, --temperatures such as 0,0.7")
    if not 1 <= min(options.batches) <= max(options.batches) <= len(ASKED) or min(options.tokens, options.repeats) < 1:
        parser.error(f"batches go from 1 to {len(ASKED)}, tokens and repeats are at least 1")
    return options


@dataclass
class _Side:
    """One engine, and its quickest run so far."""

    engine: Engine
    seconds: float = float("inf")
    answers: tuple[Completion, ...] = ()
    tally: Tally | None = None

    def run(self, requests: list[Request], params: SamplingParams, clock: Callable[[], float]) -> None:
        for proposer in self.engine.proposers:
            assert isinstance(proposer, Draft)
            proposer.stepper.pool.forget_all()
        before = replace(found) if (found := self.engine.stats.guesses.get("draft")) is not None else None
        began = clock()
        measured = ours.run(self.engine, requests, params)
        self.seconds = min(self.seconds, clock() - began)
        if before is not None and found is not None:
            proposed, accepted = found.proposed - before.proposed, found.accepted - before.accepted
            self.tally = Tally(proposed, accepted, found.rate, found.tested - before.tested)
        self.answers = tuple(measured.completions)


def compared(
    loaded: Loaded, draft: str, batch: int, temperature: float, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """A row for each number of guesses."""
    prompts = [loaded.tokenizer.chat_ids([{"role": "user", "content": text}]) for text in ASKED[:batch]]
    requests = [Request(tuple(prompt), (place,)) for place, prompt in enumerate(prompts)]
    params = SamplingParams(options.tokens, temperature)
    plain = _Side(engine_of(loaded.model))
    sides = [_Side(engine_of(loaded.model, draft_of(loaded.model, draft, count))) for count in options.guesses]
    for repeat in range(options.repeats + 1):
        for side in (plain, *sides):
            side.run(requests, params, time.process_time if options.cpu_time else time.perf_counter)
            if repeat == 0:
                side.seconds = float("inf")  # it warmed up
            if [each.ids for each in side.answers] != [each.ids for each in plain.answers]:
                raise WorkFailed(f"draft {draft}: the answers differ from those without a draft model")
    tokens = batch * options.tokens
    for side, count in zip(sides, options.guesses, strict=True):
        assert side.tally is not None
        guesses = "pace" if count is None else str(count)
        proposed, accepted, tested = side.tally.proposed, side.tally.accepted, side.tally.tested
        yield report.row(
            f"draft.{draft}.batch{batch}.t{temperature:g}.guesses-{guesses}",
            tokens / side.seconds,
            tokens / plain.seconds,
            "the engine without a draft model",
            "tokens/s",
            higher_is_better=True,
            proposed=proposed,
            accepted=accepted,
            tested=tested,
            note=f"{accepted} of {tested} tested guesses right, {proposed} proposed; {tokens} tokens",
        )


def engine_of(model: Decoder, *drafts: Draft) -> Engine:
    return Engine(model, cache_bytes=ours.CACHE_BYTES, runner=ours.runners(model)["fp32"], proposers=drafts)


def draft_of(model: Decoder, name: str, guesses: int | None) -> Draft:
    """STORAGE or STORAGE:LAYERS. Raises WorkFailed for a storage that cannot be had here."""
    storage, _, layers = name.partition(":")
    runners = ours.runners(model)
    if storage not in runners:
        raise WorkFailed(f"there is no draft {name!r} here: the storages are {', '.join(runners)}")
    drafting = without_layers(model, int(layers)) if layers else model
    return Draft(drafting, cache_bytes=ours.CACHE_BYTES, runner=runners[storage], guesses=guesses)


def without_layers(model: Decoder, keep: int) -> Decoder:
    """A decoder on the same parameters that has only the first half of `keep` layers and the last half."""
    short = copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})
    kept = [*short.layers[: -(-keep // 2)], *short.layers[len(short.layers) - keep // 2 :]]
    short.layers = nn.ModuleList(kept)
    short.config = replace(model.config, layers=keep, windows=())
    for place, block in enumerate(kept):
        block.mixer.layer = place
    return short


if __name__ == "__main__":
    report.main(main)
