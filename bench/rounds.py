"""`whet bench rounds`: what a sealed round costs beside the models' own answering.

Two parts. `round`: 2,000 problems and two entrants; everything but generation (draw, verdicts, statistics, page,
verify). The answers are made up: right or off by one, by a hash. `keys`: a million problems drawn from their key,
divided by the partition, and counted against a ledger of another million. Nothing else does this work, so the peer is
the limit that the project sets itself: 20 s and 60 s.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from whetstone.evals.history import History
from whetstone.evals.rounds import round as rounds
from whetstone.evals.rounds.chain import append, head
from whetstone.evals.rounds.creating import new_round
from whetstone.evals.rounds.hashing import digest
from whetstone.evals.rounds.verifying import verify
from whetstone.models.hub import DEFAULT_MODEL
from whetstone.runs.progress import Progress
from whetstone.tasks.keys import Key, Stream
from whetstone.tasks.ledger import Ledger
from whetstone.tasks.registry import load_task

LIMITS = {"round": 20.0, "keys": 60.0}
PART = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--problems", type=int, default=2000, help="of the round")
    parser.add_argument("--keys", type=int, default=1_000_000, help="problems drawn from a key")
    options = parser.parse_args()
    report.print_rows(_round(options.problems), options.json)
    report.print_rows(_keys(options.keys), options.json)


def _row(name: str, seconds: dict[str, float], note: str) -> dict[str, Any]:
    return report.row(
        f"rounds.{name}",
        sum(seconds.values()),
        LIMITS[name],
        "the limit",
        "s",
        higher_is_better=False,
        seconds=seconds,
        note=f"{note}: " + ", ".join(f"{what} {spent:.1f} s" for what, spent in seconds.items()),
    )


def _round(n: int) -> Iterator[dict[str, Any]]:
    seconds: dict[str, float] = {}
    clock = time.perf_counter

    def timed(what: str, started: float) -> None:
        seconds[what] = clock() - started

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        started = clock()
        begun = new_round(folder / "r", "addition", level=4, n=n, strata="A", history=History(folder / "h.sqlite"))
        timed("new", started)
        started = clock()
        for name in ("one", "two"):
            begun.enter(DEFAULT_MODEL, name)
        timed("enter", started)
        started = clock()
        items = begun.draw()
        timed("draw", started)
        for entrant, name in enumerate(("one", "two")):
            log = begun.path / "outputs" / f"{name}.jsonl"
            records = append(log, [], (_made_up(item, entrant) for item in items))
            event = {"files": {f"outputs/{name}.jsonl": digest(log.read_bytes())}, "head": head(records), "backend": {}}
            begun.log = append(
                begun.path / "log.jsonl",
                begun.log,
                [{"event": "answered", "time": "", "name": name, "seconds": 0, **event}],
            )
        started = clock()
        rounds.Round(begun.path, begun.history).reveal(Progress())
        timed("reveal", started)
        started = clock()
        found = verify(begun.path)
        timed("verify", started)
        assert found.holds, found.failed
    yield _row("round", seconds, f"{n} problems, two entrants")


def _made_up(item: Any, entrant: int) -> dict[str, Any]:
    right = int(item.nonce[:4], 16) % 10 < 4 + 2 * entrant
    text = item.gold if right else str(int(item.gold) + 1)
    answer = {"text": text, "ids": [1, 2, 3], "tokens": 3, "finish": "stop", "logprob": -0.1}
    return {"place": item.place, "id": item.problem.id, "answers": [answer]}


def _ids(arguments: tuple[str, int]) -> list[str]:
    split, start = arguments
    stream = Stream(load_task("addition"), Key.derive(b"bench", split), split, 8)
    return [stream.problem(i).id for i in range(start, start + PART)]


def _keys(n: int) -> Iterator[dict[str, Any]]:
    parts = max(1, n // PART)
    with multiprocessing.get_context("spawn").Pool() as pool:
        pool.map(abs, range(8))  # the processes' own start is no part of the work
        ledger = Ledger(i for part in pool.map(_ids, [("train", k * PART) for k in range(parts)]) for i in part)
        started = time.perf_counter()
        drawn = [i for part in pool.map(_ids, [("eval", k * PART) for k in range(parts)]) for i in part]
        seconds = {"keys and partition": time.perf_counter() - started}
    started = time.perf_counter()
    shared = sum(identity in ledger for identity in drawn)
    seconds["overlap"] = time.perf_counter() - started
    assert shared == 0, "the partition let a problem of training into the evaluation"
    yield _row("keys", seconds, f"{len(drawn)} problems against a ledger of {len(ledger)}; {json.dumps(shared)} shared")


if __name__ == "__main__":
    report.main(main)
