"""Near-duplicates by MinHash (Broder 1997): documents, or stretches of them, that share most of an item's word triples.

The signatures are computed for many stretches at once; datasketch's LSH finds the candidates, and the exact Jaccard
similarity of the triples decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whetstone.errors import UsageError
from whetstone.evals.contamination.corpus import Document
from whetstone.evals.contamination.windows import BATCH_CHARS, Batch, batches, fold, mixed, words

THRESHOLD = 0.5  # of the Jaccard similarity
PERMUTATIONS = 64
TRIPLE = 3
_MASK = (1 << 32) - 1  # datasketch keeps 32 bits of a value


@dataclass(frozen=True)
class NearMatch:
    """The stretch of the corpus that is most like an item: its similarity, place, and text (folded words)."""

    item: int
    similarity: float
    document: Document
    text: str


def available() -> bool:
    """Whether datasketch is installed."""
    try:
        import datasketch  # noqa: F401
    except ImportError:
        return False
    return True


class NearIndex:
    """Items to be compared with. Raises UsageError without datasketch."""

    def __init__(self, items: Sequence[str], threshold: float = THRESHOLD) -> None:
        if not available():
            raise UsageError("near-duplicates need datasketch: pip install 'whetstone-lab[audit]', or --no-near")
        from datasketch import MinHashLSH

        self.threshold = threshold
        # a lower threshold for the candidates: what LSH misses, nobody sees again
        self._lsh: Any = MinHashLSH(threshold=0.8 * threshold, num_perm=PERMUTATIONS)
        self._seeds = mixed(np.arange(PERMUTATIONS))
        self._none = (self._seeds, self._seeds)  # MinHash would draw permutations that nobody uses here
        self.triples: dict[int, np.ndarray] = {}
        lengths = []
        first = 0
        for texts in batches(fold(text) for text in items):
            batch = Batch(texts)
            lengths.append(batch.word_counts)
            for place, hashes in enumerate(_by_text(batch)):
                if len(hashes):
                    self.triples[first + place] = hashes
            first += len(texts)
        for item, hashes in self.triples.items():
            self._lsh.insert(item, self._signature(hashes))
        counts = np.concatenate(lengths) if lengths else np.array([0])
        self.stretch = max(TRIPLE, round(float(np.median(counts))))

    def scan(self, documents: Iterable[Document]) -> list[NearMatch]:
        """For each item that anything resembles, what resembles it most; the most alike first."""
        best: dict[int, NearMatch] = {}
        for document, text, hashes in self._stretches(documents):
            for item in self._lsh.query(self._signature(hashes)):
                similarity = jaccard(hashes, self.triples[item])
                if similarity >= self.threshold and (item not in best or similarity > best[item].similarity):
                    found = " ".join(words(text[0])[text[1] : text[1] + self.stretch])
                    best[item] = NearMatch(item, similarity, Document(document.file, document.line, ""), found)
        return sorted(best.values(), key=lambda match: (-match.similarity, match.item))

    def _stretches(self, documents: Iterable[Document]) -> Iterator[tuple[Document, tuple[str, int], np.ndarray]]:
        """Every document in overlapping stretches about as long as an item: (document, (its text, first word),
        triples)."""
        step = max(1, self.stretch // 4)
        for together in _together(documents):
            folded = [fold(document.text) for document in together]
            for document, text, hashes in zip(together, folded, _in_order(Batch(folded)), strict=True):
                size = self.stretch - TRIPLE + 1
                for first in range(0, max(1, len(hashes) - size + step), step):
                    piece = np.unique(hashes[first : first + size])
                    if len(piece):
                        yield document, (text, first), piece

    def _signature(self, hashes: np.ndarray) -> Any:
        from datasketch import MinHash

        values = mixed(hashes ^ self._seeds[:, None]) & np.uint64(_MASK)
        return MinHash(PERMUTATIONS, hashvalues=values.min(1), permutations=self._none, scheme="legacy")


def jaccard(left: np.ndarray, right: np.ndarray) -> float:
    """Shared over all, of two arrays of distinct values."""
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)


def _in_order(batch: Batch) -> list[np.ndarray]:
    """The hashes of each text's word triples, in the text's order."""
    found = batch.words(TRIPLE)
    return np.split(found.hashes, np.searchsorted(found.texts, np.arange(1, len(batch.ends))))


def _by_text(batch: Batch) -> list[np.ndarray]:
    return [np.unique(hashes) for hashes in _in_order(batch)]


def _together(documents: Iterable[Document]) -> Iterator[list[Document]]:
    held: list[Document] = []
    size = 0
    for document in documents:
        held.append(document)
        size += len(document.text)
        if size >= BATCH_CHARS:
            yield held
            held, size = [], 0
    if held:
        yield held
