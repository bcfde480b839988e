"""The audit of a corpus: which items of a task, or of a file, are in it, with the text and its place."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError
from whetstone.evals.contamination import near as near_duplicates
from whetstone.evals.contamination import planted
from whetstone.evals.contamination.corpus import Document, questions, read
from whetstone.evals.contamination.near import NearIndex, NearMatch
from whetstone.evals.contamination.overlap import Index, Match, scan
from whetstone.evals.statistics import wilson
from whetstone.runs.allocator import keep_freed_memory
from whetstone.runs.progress import Progress
from whetstone.tasks.keys import Key, Stream
from whetstone.tasks.registry import load_task

FILLER = 200  # documents of the corpus that copies are planted in


def audit_corpus(
    files: Sequence[Path],
    progress: Progress,
    *,
    task: str | None = None,
    items: Path | None = None,
    level: int | None = None,
    n: int = 500,
    seed: int = 0,
    near: bool = True,
) -> dict[str, Any]:
    """Look for `n` problems of a task (those of `whet eval --seed`), or for the items of a file, in these files.

    Returns {items, documents, characters, held {kind: share of the items with any overlap}, matches, near, recall,
    ...}. Raises UsageError for files that cannot be read, for both or neither of `task` and `items`.
    """
    for file in files:
        if not file.is_file():
            raise UsageError(f"there is no file {file}")
    texts, source = _wanted(task, items, level, n, seed)
    keep_freed_memory()  # the arrays of a batch are as large as those of the last
    notes = []
    near_index = None
    if near and near_duplicates.available():
        near_index = NearIndex(texts)
    elif near:
        notes.append("near-duplicates were not looked for: pip install 'whetstone-lab[audit]' brings datasketch")
    index = Index(texts)
    keep = _Reservoir(FILLER)
    with progress.stage("overlap", len(files)) as stage:
        overlap = scan(index, keep.through(_told(files, stage.advance)))
    matches = overlap.matches()
    alike: list[NearMatch] = []
    if near_index is not None:
        with progress.stage("near-duplicates", len(files)) as stage:
            alike = near_index.scan(_told(files, stage.advance))
    found = {kind: {match.item for match in matches if match.kind == kind} for kind in ("words", "characters")}
    key = Key.derive(str(seed).encode(), "whetstone audit corpus")
    return {
        **source,
        "files": [str(file) for file in files],
        "items": len(texts),
        "too_short": index.too_short,
        "documents": overlap.documents,
        "characters": overlap.characters,
        "held": {kind: wilson(len(each), len(texts)).to_dict() for kind, each in found.items()}
        | ({} if near_index is None else {"near": wilson(len(alike), len(texts)).to_dict()}),
        "shared_wording": overlap.shared,
        "matches": [_match(match, texts) for match in matches],
        "near": [_near(match, texts) for match in alike],
        "recall": planted.recall(texts, index, near_index, keep.texts, key),
        "notes": notes,
    }


def _wanted(
    task: str | None, items: Path | None, level: int | None, n: int, seed: int
) -> tuple[list[str], dict[str, Any]]:
    if (task is None) == (items is None):
        raise UsageError("say what to look for: --task NAME, or --items FILE")
    if items is not None:
        return questions(items), {"source": str(items)}
    judged = load_task(str(task))
    chosen = judged.default_level if level is None else level
    key = Key.derive(str(seed).encode(), "whetstone eval")
    problems = Stream(judged, key, "eval", chosen).take(n, distinct=True)
    return [problem.question for problem in problems], {"source": judged.name, "level": chosen, "seed": seed}


def _told(files: Iterable[Path], advance: Any) -> Iterator[Document]:
    for file in files:
        yield from read([file])
        advance()


class _Reservoir:
    """A uniform sample of the documents that go by (Vitter's algorithm R), cut to a length worth keeping."""

    def __init__(self, size: int) -> None:
        self.size, self.texts = size, list[str]()
        self._rng = random.Random(0)

    def through(self, documents: Iterable[Document]) -> Iterator[Document]:
        for number, document in enumerate(documents):
            text = document.text[: 2 * planted.AROUND]
            if number < self.size:
                self.texts.append(text)
            elif (place := self._rng.randrange(number + 1)) < self.size:
                self.texts[place] = text
            yield document


def _match(match: Match, texts: Sequence[str]) -> dict[str, Any]:
    return {
        "item": match.item,
        "question": texts[match.item],
        "kind": match.kind,
        "coverage": match.coverage,
        "place": match.document.place,
        "text": match.text,
    }


def _near(match: NearMatch, texts: Sequence[str]) -> dict[str, Any]:
    return {
        "item": match.item,
        "question": texts[match.item],
        "similarity": match.similarity,
        "place": match.document.place,
        "text": match.text,
    }
