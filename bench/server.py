"""`whet bench server`: concurrent streamed chats, beside `transformers serve` and llama.cpp's `llama-server`.

Each server runs alone, in a process of its own, with the same weights in fp32 and the same threads. The same load
generator (bench/peers/load.py) plays the same clients to each: so many at once, each sending its chats one after the
other, all different, greedy, every answer exactly as long (no stop token). Looked at: new tokens per second over all
clients, seconds to the first text of an answer, seconds a token from there to its end, and seconds from one arrival of
text to the next (servers may send the texts of several tokens in one go). A round with other chats warms up. The peers
are tried in the settings that change their speed and not their work, the one with the most tokens per second counts;
ours is measured before and after them, and the mean counts. Prompts and answers must have the same number of tokens
on all sides.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from bench import peer, processes, report
from bench.gguf_writer import write_gguf
from whetstone.errors import UsageError, WorkFailed
from whetstone.models.hub import DEFAULT_MODEL
from whetstone.models.loading import Loaded, load
from whetstone.runs import machine
from whetstone.tasks.task import Message

IGNORE_STOP = {"ignore_eos": True, "stream_options": {"include_usage": True}}
CONTEXT = 512  # tokens of each of llama-server's slots
PERCENTILES = (50, 95)


@dataclass(frozen=True)
class Variant:
    """A server in one of its settings: the command without its port, and what its requests say besides the chat."""

    server: str
    how: str
    command: tuple[str, ...]
    model: str
    health: str
    extra: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.server} ({self.how})" if self.how else self.server


@dataclass(frozen=True)
class Round:
    """What the clients saw. Seconds; `first`, `each` (per token after the first) and `between` by percentile."""

    tokens_per_second: float
    first: dict[int, float]
    each: dict[int, float]
    between: dict[int, float]
    prompt_tokens: tuple[int, ...]
    texts: tuple[str, ...]


def main() -> None:
    options = read_options()
    peer.interpreter()
    loaded = load(options.model)
    chats = different_chats(loaded, 2 * options.clients * options.requests, options.prompt)
    half = len(chats) // 2
    rounds = (chats[:half], chats[half:])
    own = whetstone(options)
    before = measure(own, rounds, options)
    report.say(f"ours, before: {before.tokens_per_second:.4g} tokens/s")
    with tempfile.TemporaryDirectory(prefix="whetstone-gguf-") as folder:
        best = {name: quickest(each, rounds, before, options) for name, each in peers(loaded, Path(folder), options)}
    after = measure(own, rounds, options)
    report.say(f"ours, after: {after.tokens_per_second:.4g} tokens/s")
    if not any(best.values()):
        raise WorkFailed("none of the peers could be measured")
    for name, found in best.items():
        if found is not None:
            report.print_rows(comparisons(name, (before, after), found, options), options.json)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model folder or name, as `whet sharpen` takes it")
    parser.add_argument("--clients", type=int, default=16, help="how many at once")
    parser.add_argument("--requests", type=int, default=2, help="of each client, one after the other")
    parser.add_argument("--prompt", type=int, default=64, help="about so many tokens of each prompt")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens of each answer")
    parser.add_argument("--threads", type=int, default=machine.usable_cores(), help="of every server")
    parser.add_argument("--seconds", type=float, default=900, help="give a server up whose round takes longer")
    parser.add_argument("--peers", default="transformers,llama-server", help="which of the two to run")
    options = parser.parse_args()
    options.peers = options.peers.split(",")
    if set(options.peers) - {"transformers", "llama-server"}:
        parser.error("--peers knows transformers and llama-server")
    if min(options.clients, options.requests, options.prompt, options.tokens - 1, options.threads) < 1:
        parser.error("sizes are at least 1, --tokens at least 2")
    return options


def different_chats(loaded: Loaded, count: int, length: int) -> list[list[Message]]:
    """Chats whose rendered prompts have `length` tokens or a few more, no two alike."""
    stream = peer.additions()
    chats: list[list[Message]] = []
    problems = iter(stream.take(12 * count + 64, distinct=True))
    for _ in range(count):
        question = ""
        while True:
            problem = next(problems, None)
            if problem is None:
                raise UsageError(
                    f"there are not {count} different chats of {length} tokens: take fewer or shorter ones"
                )
            question = f"{question} {problem.question}".strip()
            chat: list[Message] = [{"role": "user", "content": question}]
            if len(loaded.tokenizer.chat_ids(chat)) >= length:
                break
        chats.append(chat)
    return chats


def whetstone(options: argparse.Namespace) -> Variant:
    start = "from whetstone.cli import main; main()"
    paths = [str(peer.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(paths)}
    command = (sys.executable, "-c", start, "serve", f"bench={options.model}")
    return Variant("whet serve", "", command, "bench", "/v1/models", IGNORE_STOP, environment)


def peers(loaded: Loaded, folder: Path, options: argparse.Namespace) -> list[tuple[str, list[Variant]]]:
    """The peers by name, each in its settings."""
    makers: dict[str, Callable[[], list[Variant]]] = {
        "transformers": lambda: transformers(loaded, options),
        "llama-server": lambda: llama_server(loaded, folder, options),
    }
    return [(name, makers[name]()) for name in options.peers]


def transformers(loaded: Loaded, options: argparse.Namespace) -> list[Variant]:
    """`transformers serve` one request after the other, and with its continuous batching."""
    model = str(loaded.folder)
    program = str(peer.interpreter().parent / "transformers")
    command = (program, "serve", model, "--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1")
    # it takes no ignore_eos, but the stop token from the request's own settings: one that no model says
    generation = {"max_new_tokens": options.tokens, "do_sample": False, "eos_token_id": -1, "pad_token_id": 0}
    extra = {"generation_config": json.dumps(generation)}
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    hows = {"one at a time": (), "continuous batching": ("--continuous-batching",)}
    return [
        Variant("transformers serve", how, (*command, *more), model, "/health", extra, offline)
        for how, more in hows.items()
    ]


def llama_server_program() -> Path | None:
    """Where `make bench-setup` puts it, None before that."""
    return next(peer.ENVIRONMENT.glob("lib/python*/site-packages/llama_cpp/lib/llama-server"), None)


def llama_server(loaded: Loaded, folder: Path, options: argparse.Namespace) -> list[Variant]:
    """llama.cpp's own server, a slot for each client, with flash attention and without."""
    program = llama_server_program()
    if program is None:
        raise UsageError("llama-server is not installed: run `make bench-setup`")
    file = folder / "f32.gguf"
    write_gguf(loaded, file, "f32")
    command = [str(program), "--model", str(file), "--alias", "bench", "--host", "127.0.0.1", "--offline"]
    command += ["--threads", str(options.threads), "--threads-batch", str(options.threads)]
    length = -(-(2 * options.prompt + options.tokens) // CONTEXT) * CONTEXT
    command += ["--parallel", str(options.clients), "--ctx-size", str(options.clients * length), "--no-kv-unified"]
    return [
        Variant(
            "llama-server",
            f"flash attention {flash}",
            (*command, "--flash-attn", flash),
            "bench",
            "/health",
            IGNORE_STOP,
        )
        for flash in ("on", "off")
    ]


def measure(variant: Variant, rounds: Sequence[Sequence[list[Message]]], options: argparse.Namespace) -> Round:
    """Start the server, play all rounds, end it; the last round counts."""
    port = processes.free_port()
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)} | variant.environment
    command = (*variant.command, "--port", str(port))
    with tempfile.TemporaryDirectory() as folder:
        kept = {"environment": environment, "folder": Path(folder), "patience": options.seconds}
        with processes.serving(variant.name, command, url + variant.health, **kept):
            for chats in rounds:
                found = play(variant, url, chats, options)
    return found


def play(variant: Variant, url: str, chats: Sequence[list[Message]], options: argparse.Namespace) -> Round:
    """One round of the load. Raises WorkFailed for answers that are not as long as they should be."""
    common = {"model": variant.model, "stream": True, "temperature": 0, "max_tokens": options.tokens} | variant.extra
    bodies = [
        [common | {"messages": chat} for chat in chats[client :: options.clients]] for client in range(options.clients)
    ]
    with peer.json_file(bodies) as file:
        [found] = peer.run_peer(
            "load", url, str(file), "--seconds", str(options.seconds), threads=1, timeout=options.seconds + 30
        )
    records = found["requests"]
    made = {record["completion_tokens"] for record in records}
    if made != {options.tokens}:
        raise WorkFailed(f"{variant.name} gave answers of {made} tokens, not {options.tokens}")
    arrivals = [sorted(set(record["chunks"])) for record in records]  # what comes in one go comes at one time
    if silent := sum(len(times) < 2 for times in arrivals):
        raise WorkFailed(f"{silent} answers of {variant.name} were not streamed")
    first = [record["chunks"][0] - record["sent"] for record in records]
    each = [(record["chunks"][-1] - record["chunks"][0]) / (options.tokens - 1) for record in records]
    between = np.concatenate([np.diff(times) for times in arrivals])
    return Round(
        len(records) * options.tokens / found["seconds"],
        *({share: float(np.percentile(values, share)) for share in PERCENTILES} for values in (first, each, between)),
        tuple(record["prompt_tokens"] for record in records),
        tuple(record["text"] for record in records),
    )


@dataclass(frozen=True)
class Best:
    """A peer's quickest variant, its round, and the tokens per second of all variants, or why there are none."""

    variant: Variant
    round: Round
    tried: dict[str, float | str]


def quickest(
    variants: Sequence[Variant], rounds: Sequence[Sequence[list[Message]]], ours: Round, options: argparse.Namespace
) -> Best | None:
    """The variant with the most tokens per second; None where none of them works.

    Raises WorkFailed when a server counts other prompts than ours.
    """
    best: tuple[Variant, Round] | None = None
    tried: dict[str, float | str] = {}
    for variant in variants:
        try:
            found = measure(variant, rounds, options)
        except WorkFailed as error:
            report.say(f"{variant.name} is left out: {error}")
            tried[variant.how] = str(error)
            continue
        if found.prompt_tokens != ours.prompt_tokens:
            raise WorkFailed(f"{variant.name} reads the same chats as other numbers of tokens than we do")
        report.say(f"{variant.name}: {found.tokens_per_second:.4g} tokens/s")
        tried[variant.how] = found.tokens_per_second
        if best is None or found.tokens_per_second > best[1].tokens_per_second:
            best = variant, found
    return None if best is None else Best(*best, tried)


def comparisons(
    name: str, runs: tuple[Round, Round], best: Best, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """A row for each of the figures."""
    theirs = best.round
    same = fmean(a == b for a, b in zip(runs[0].texts, theirs.texts, strict=True))
    values: dict[str, Callable[[Round], float]] = {"tokens_per_second": lambda seen: seen.tokens_per_second}
    for percentile in PERCENTILES:
        values[f"first_token_p{percentile}"] = partial(lambda seen, p: seen.first[p], p=percentile)
        values[f"each_token_p{percentile}"] = partial(lambda seen, p: seen.each[p], p=percentile)
        values[f"between_chunks_p{percentile}"] = partial(lambda seen, p: seen.between[p], p=percentile)
    for figure, value in values.items():
        throughput = figure == "tokens_per_second"
        found = [value(each) for each in runs]
        note = (
            f"{options.clients} clients at once, {options.requests} chats each of {fmean(theirs.prompt_tokens):.0f} + "
            f"{options.tokens} tokens, fp32. Ours {found[0]:.4g} before the peers, {found[1]:.4g} after them. "
            f"{best.variant.name}; {same:.0%} of its answers are ours to the letter."
        )
        yield report.row(
            f"server.{name}.{figure}",
            fmean(found),
            value(theirs),
            best.variant.server,
            "tokens/s" if throughput else "s",
            higher_is_better=throughput,
            peer_versions=versions(name),
            note=note,
            model=options.model,
            clients=options.clients,
            requests=options.requests,
            prompt=fmean(theirs.prompt_tokens),
            tokens=options.tokens,
            threads=options.threads,
            ours_before=found[0],
            ours_after=found[1],
            peer_setting=best.variant.how,
            peer_tried=best.tried,
            same_answers=same,
        )


def versions(name: str) -> dict[str, str]:
    """Of the packages that the peer comes from, as its environment's pins say."""
    wanted = {"transformers": ("transformers", "torch"), "llama-server": ("llama_cpp_python",)}[name]
    lines = (peer.ROOT / "bench" / "requirements.lock").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    return {package: pins[package] for package in wanted}


if __name__ == "__main__":
    report.main(main)
