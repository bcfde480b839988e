"""`whet bench overlap`: items looked for in a corpus, beside sets of tuples in plain Python.

    python bench/overlap.py [--items 1000000] [--documents 100000] [--peer-items 20000]

Both find every item that shares a run of 13 words or of 50 characters with a document, from folded text on: ours with
hashed windows, the peer with a set of word tuples and a set of strings, as lm-evaluation-harness' and similar scripts
do. The two are timed in turn on the same smaller work and must name the same items; then ours alone takes a million
items, their keys and their buckets of the partition included, cold. One per cent of the items is planted in the
documents.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from whetstone.errors import WorkFailed
from whetstone.evals.contamination.corpus import Document
from whetstone.evals.contamination.overlap import CHARACTERS, WORDS, Index, scan
from whetstone.evals.contamination.windows import fold
from whetstone.runs.allocator import keep_freed_memory
from whetstone.tasks.keys import COMMON_PARTITION, problem_seed

ITEM_WORDS, DOCUMENT_WORDS, ROUNDS = 24, 120, 2
WORD = re.compile(r"\w+")  # the texts here hold nothing else


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--peer-items", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    keep_freed_memory()
    report.print_rows((row(options) for row in (beside_peer, cold_start)), options.json)


def beside_peer(options: argparse.Namespace) -> dict[str, Any]:
    """Equal work, in turn; the quickest of a few rounds each."""
    items, documents, planted = texts(options.peer_items, options.peer_items // 4, seed=1)
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    found: dict[str, set[int]] = {}
    for _ in range(ROUNDS):
        for name, work in (("ours", ours), ("peer", tuple_sets)):
            seconds[name].append(timed(lambda w=work, n=name: found.update({n: w(items, documents)})))  # type: ignore[misc]
    if found["ours"] != found["peer"] or not planted <= found["ours"]:
        raise WorkFailed("the two do not name the same items, so their times mean nothing")
    return report.row(
        "overlap.items",
        min(seconds["ours"]),
        min(seconds["peer"]),
        "sets of word tuples and of strings",
        "s",
        higher_is_better=False,
        items=len(items),
        documents=len(documents),
        found=len(found["ours"]),
    )


def cold_start(options: argparse.Namespace) -> dict[str, Any]:
    """A million items: keys, partition, index, scan, matches. No peer: it would take hours and the memory for it."""
    items, documents, planted = texts(options.items, options.documents, seed=2)
    canonical = [text.encode() for text in items]
    phases = {"keys_and_partition": timed(lambda: keyed(canonical))}
    index: list[Index] = []
    phases["index"] = timed(lambda: index.append(Index(items)))
    found: set[int] = set()
    phases["scan"] = timed(lambda: found.update(matched(index[0], documents)))
    if not planted <= found:
        raise WorkFailed(f"{len(planted - found)} planted items were not found")
    return report.row(
        "overlap.cold_start",
        sum(phases.values()),
        None,
        "sets of word tuples and of strings",
        "s",
        higher_is_better=False,
        items=len(items),
        documents=len(documents),
        found=len(found),
        phases=phases,
        note=", ".join(f"{name} {seconds:.1f} s" for name, seconds in phases.items()),
    )


def texts(items: int, documents: int, seed: int) -> tuple[list[str], list[Document], set[int]]:
    """Random prose with Zipf's frequencies, and which items were planted."""
    rng = np.random.default_rng(seed)
    vocabulary = np.array([f"w{i:x}" for i in range(20_000)])
    weights = 1 / np.arange(10, 20_010)
    drawn = rng.choice(vocabulary, items * ITEM_WORDS + documents * DOCUMENT_WORDS, p=weights / weights.sum())
    cut = items * ITEM_WORDS
    asked = [" ".join(row) for row in drawn[:cut].reshape(items, ITEM_WORDS)]
    corpus = [" ".join(row) for row in drawn[cut:].reshape(documents, DOCUMENT_WORDS)]
    planted = rng.choice(items, min(items, documents) // 100, replace=False)
    for place, item in zip(rng.choice(documents, len(planted), replace=False), planted, strict=True):
        corpus[place] += f" {asked[item]} {corpus[place][:40]}"
    return asked, [Document("corpus", line, text) for line, text in enumerate(corpus, 1)], set(planted.tolist())


def ours(items: Sequence[str], documents: Sequence[Document]) -> set[int]:
    return matched(Index(items), documents)


def matched(index: Index, documents: Sequence[Document]) -> set[int]:
    return {match.item for match in scan(index, documents).matches()}


def tuple_sets(items: Sequence[str], documents: Sequence[Document]) -> set[int]:
    """The straightforward way: which windows of which item, and every window of every document looked up."""
    tuples: dict[tuple[str, ...], list[int]] = {}
    strings: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        folded = fold(item)
        units = WORD.findall(folded)
        for start in range(len(units) - WORDS + 1):
            tuples.setdefault(tuple(units[start : start + WORDS]), []).append(place)
        for start in range(len(folded) - CHARACTERS + 1):
            strings.setdefault(folded[start : start + CHARACTERS], []).append(place)
    found: set[int] = set()
    for document in documents:
        folded = fold(document.text)
        units = WORD.findall(folded)
        for start in range(len(units) - WORDS + 1):
            found.update(tuples.get(tuple(units[start : start + WORDS]), ()))
        for start in range(len(folded) - CHARACTERS + 1):
            found.update(strings.get(folded[start : start + CHARACTERS], ()))
    return found


def keyed(canonical: Sequence[bytes]) -> None:
    """The key of every problem, and its bucket."""
    for place, form in enumerate(canonical):
        problem_seed(b"a key for this benchmark........", "eval", "bench", "1", place)
        COMMON_PARTITION.bucket(form)


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    report.main(main)
