"""The positive control of the search in texts: copies planted in documents of the very corpus, and how many are
found."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from whetstone.evals.contamination.corpus import Document
from whetstone.evals.contamination.near import NearIndex
from whetstone.evals.contamination.overlap import Index, scan
from whetstone.evals.contamination.rewording import reword
from whetstone.evals.statistics import wilson
from whetstone.tasks.keys import problem_seed

WORDINGS = ("verbatim", "one word edited", "reworded")
PLANTED = 60
AROUND = 400  # characters of a real document before and after a copy


def recall(
    items: Sequence[str], index: Index, near: NearIndex | None, filler: Sequence[str], key: bytes
) -> dict[str, dict[str, Any]]:
    """By wording and method: the share of planted copies that are found in the document they were planted in.

    `filler`: texts of the corpus. At most `PLANTED` of the items are planted, each in a document of its own.
    """
    rng = random.Random(problem_seed(key, "planted", "", "1", 0))
    places = sorted(rng.sample(range(len(items)), min(PLANTED, len(items))))
    found: dict[str, dict[str, Any]] = {}
    for wording in WORDINGS:
        documents = []
        for line, place in enumerate(places):
            before, after = (rng.choice(filler)[:AROUND] if filler else "" for _ in range(2))
            documents.append(
                Document("planted", line, f"{before}\n{_worded(items[place], wording, key, rng)}\n{after}")
            )
        held: dict[str, set[tuple[int, int]]] = {"13 words": set(), "50 characters": set()}
        for match in scan(index, documents).matches():
            held["13 words" if match.kind == "words" else "50 characters"].add((match.item, match.document.line))
        if near is not None:
            held["near-duplicates"] = {(match.item, match.document.line) for match in near.scan(documents)}
        planted = {(place, line) for line, place in enumerate(places)}
        found[wording] = {
            method: wilson(len(pairs & planted), len(planted)).to_dict() for method, pairs in held.items()
        }
    return found


def _worded(item: str, wording: str, key: bytes, rng: random.Random) -> str:
    if wording == "verbatim":
        return item
    if wording == "reworded":
        return reword(item, "see below", key, 0)
    split = item.split()
    split[rng.randrange(len(split))] = rng.choice(["thing", "other", "seven", "never"])
    return " ".join(split)
