"""Which items stand, whole or in part, in a corpus: every run of 13 words and of 50 characters that both hold, with the
text, the document and its place.

The corpus goes by once and nothing of it is kept but the documents that hold something. Two passes over the items:
their hashes make the set that documents are looked up in; those that were met are then traced back to their items. So
no list of owners is held for the millions of windows that nobody meets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from whetstone.evals.contamination.corpus import Document
from whetstone.evals.contamination.windows import BATCH_CHARS, Batch, Found, HashSet, batches, fold, words

WORDS, CHARACTERS = 13, 50
LEAST_WORDS = 4  # an item of fewer cannot be told from chance
# A run that more items share is the wording of the task and tells nothing of an item (GPT-3's rule, Brown et al. 2020).
SHARED_BY = 10
KEPT_CHARS = 1 << 28  # of documents that hold something
JOINED_ROWS = 1 << 22


@dataclass(frozen=True)
class Match:
    """An item and the document that holds most of it. Coverage: the share of the item's words (or characters) that
    stand in runs found there. `text`: the longest such run, folded."""

    item: int
    kind: str  # "words" or "characters"
    coverage: float
    document: Document
    text: str


class Index:
    """Items to be looked for. An item of fewer than 13 words, but at least four, is looked for whole."""

    def __init__(self, items: Iterable[str], words_n: int = WORDS, characters_n: int = CHARACTERS) -> None:
        self.texts = [fold(text) for text in items]
        self.words_n, self.characters_n = words_n, characters_n
        counts, word_parts, character_parts = [], [], []
        for batch in map(Batch, batches(self.texts)):
            counts.append(batch.word_counts)
            word_parts += [found.hashes for found in self._words_of(batch)]
            character_parts.append(batch.characters(characters_n).hashes)
        self.word_counts = np.concatenate(counts) if counts else np.empty(0, dtype=np.int64)
        lengths = np.unique(np.minimum(self.word_counts, words_n))
        self.lengths = [int(length) for length in lengths if length >= min(LEAST_WORDS, words_n)]
        self.sets = {"words": HashSet(word_parts), "characters": HashSet(character_parts)}

    @property
    def too_short(self) -> int:
        """Items that are not looked for."""
        return int((self.word_counts < min(LEAST_WORDS, self.words_n)).sum())

    def _words_of(self, batch: Batch) -> list[Found]:
        """The windows of each item: of 13 words, or the whole of a shorter item."""
        counts = batch.word_counts
        wanted = np.minimum(counts, self.words_n)
        wanted[wanted < min(LEAST_WORDS, self.words_n)] = 0
        found = []
        for length in np.unique(wanted[wanted > 0]):
            each = batch.words(int(length))
            here = wanted[each.texts] == length
            found.append(Found(each.hashes[here], each.texts[here], each.places[here]))
        return found

    def windows(self, batch: Batch, kind: str) -> list[Found]:
        """The windows that an item is looked for by."""
        return self._words_of(batch) if kind == "words" else [batch.characters(self.characters_n)]

    def looked_up(self, batch: Batch, kind: str) -> list[Found]:
        """The windows of documents that are looked up."""
        if kind == "characters":
            return [batch.characters(self.characters_n)]
        return [batch.words(length) for length in self.lengths]


@dataclass
class Scan:
    """What a corpus holds of the items of an index. `add` documents, then ask for `matches`."""

    index: Index
    documents: int = 0
    characters: int = 0
    shared: dict[str, int] = field(default_factory=dict)  # by kind: runs met that are the task's wording
    _held: list[tuple[Document, str]] = field(default_factory=list)
    _kept: int = 0
    _hits: dict[str, list[tuple[np.ndarray, np.ndarray]]] = field(
        default_factory=lambda: {"words": [], "characters": []}
    )

    def add(self, documents: Sequence[Document]) -> None:
        """Look up some documents together (a quarter of a million characters at once is about right)."""
        folded = [fold(document.text) for document in documents]
        batch = Batch(folded)
        self.documents += len(documents)
        self.characters += sum(map(len, folded))
        met: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for kind in self._hits:
            texts, hashes = [], []
            for found in self.index.looked_up(batch, kind):
                places = self.index.sets[kind].contains(found.hashes)
                texts.append(found.texts[places])
                hashes.append(found.hashes[places])
            met[kind] = (np.concatenate(texts), np.concatenate(hashes)) if texts else (_NONE, _NO_HASH)
        holders = np.unique(np.concatenate([texts for texts, _ in met.values()]))
        number = np.zeros(len(documents), dtype=np.int64)
        for holder in holders:
            number[holder] = len(self._held)
            keep = self._kept < KEPT_CHARS
            self._kept += len(folded[holder]) if keep else 0
            document = documents[holder]
            self._held.append((Document(document.file, document.line, ""), folded[holder] if keep else ""))
        for kind, (text_H, hash_H) in met.items():
            if len(text_H):
                self._hits[kind].append(_pairs(number[text_H], hash_H))

    def matches(self) -> list[Match]:
        """For each item that stands anywhere, the document that holds most of it, by words and by characters; those
        held most first. Equal hashes are held against the texts themselves before they are reported."""
        found = [match for kind in self._hits for match in self._matches(kind)]
        return sorted(found, key=lambda match: (-match.coverage, match.item, match.kind))

    def _matches(self, kind: str) -> list[Match]:
        if not self._hits[kind]:
            return []
        document_H = np.concatenate([documents for documents, _ in self._hits[kind]])
        hash_H = np.concatenate([hashes for _, hashes in self._hits[kind]])
        owners = _Owners(self.index, kind, hash_H)
        self.shared[kind] = owners.shared
        best: dict[int, tuple[int, int]] = {}  # item -> (covered, document)
        for first, end in owners.pieces(document_H, hash_H):
            for item, document, covered in zip(*owners.coverage(document_H[first:end], hash_H[first:end]), strict=True):
                if covered > best.get(item, (0, 0))[0]:
                    best[item] = (covered, document)
        found = []
        for item, (covered, document) in best.items():
            first, end = np.searchsorted(document_H, [document, document + 1])
            text = self._text(kind, item, document, owners.runs(item, hash_H[first:end]))
            if text:
                size = len(words(self.index.texts[item]) if kind == "words" else self.index.texts[item])
                found.append(Match(item, kind, covered / size, self._held[document][0], text))
        return found

    def _text(self, kind: str, item: int, document: int, runs: list[tuple[int, int]]) -> str:
        """The longest stretch of the item, made of these (place, length) runs, that the document really has in one
        piece; empty where equal hashes were all there was."""
        folded = self.index.texts[item]
        units, joint = (words(folded), " ") if kind == "words" else (folded, "")
        there = self._held[document][1]
        if kind == "words":
            there = f" {' '.join(words(there))} " if there else ""
        longest = current = ""
        begun = -1
        for place, length in runs:
            longer = joint.join(units[begun : place + length]) if begun >= 0 else ""
            if not (begun >= 0 and _holds(there, longer, joint)):
                begun, longer = place, joint.join(units[place : place + length])
            current = longer if _holds(there, longer, joint) else ""
            begun = begun if current else -1
            longest = max(longest, current, key=len)
        return longest


def _holds(there: str, text: str, joint: str) -> bool:
    """Whether a document has the text; of one that is not kept, equal hashes are all that is known."""
    return not there or f"{joint}{text}{joint}" in there


_NONE, _NO_HASH = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64)


def _pairs(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct pairs, sorted by their left part, then their right one."""
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    new = np.concatenate([[True], (left[1:] != left[:-1]) | (right[1:] != right[:-1])])[: len(left)]
    return left[new], right[new]


class _Owners:
    """The items and places of the hashes that were met, without those that too many items share."""

    def __init__(self, index: Index, kind: str, met: np.ndarray) -> None:
        wanted = HashSet([met])
        items, hashes, places, lengths = [], [], [], []
        first = 0
        for texts in batches(index.texts):
            batch = Batch(texts)
            for found in index.windows(batch, kind):
                here = wanted.contains(found.hashes)
                items.append(found.texts[here] + first)
                hashes.append(found.hashes[here])
                places.append(found.places[here])
                size = np.minimum(batch.word_counts, index.words_n) if kind == "words" else None
                length = index.characters_n if size is None else size[found.texts[here]]
                lengths.append(np.broadcast_to(length, here.shape))
            first += len(texts)
        order = np.argsort(np.concatenate(hashes), kind="stable")
        self.hash_R = np.concatenate(hashes)[order]
        self.item_R, self.place_R = np.concatenate(items)[order], np.concatenate(places)[order]
        self.length_R = np.concatenate(lengths)[order]
        self.shared = self._drop_shared()
        self._by_item = np.argsort(self.item_R, kind="stable")
        self._item_sorted = self.item_R[self._by_item]

    def _drop_shared(self) -> int:
        """Forget runs that more than `SHARED_BY` items hold; returns how many runs that were."""
        hashes, _ = _pairs(self.hash_R, self.item_R)
        runs, holders = np.unique(hashes, return_counts=True)
        common = runs[holders > SHARED_BY]
        keep = ~np.isin(self.hash_R, common)
        for name in ("hash_R", "item_R", "place_R", "length_R"):
            setattr(self, name, getattr(self, name)[keep])
        return len(common)

    def pieces(self, document_H: np.ndarray, hash_H: np.ndarray) -> list[tuple[int, int]]:
        """Cuts of the met hashes at which no document is parted, so that each piece joins to few enough rows."""
        counts = np.searchsorted(self.hash_R, hash_H, "right") - np.searchsorted(self.hash_R, hash_H, "left")
        ends = np.flatnonzero(np.concatenate([document_H[1:] != document_H[:-1], [True]])) + 1
        rows = np.cumsum(counts)[ends - 1]
        cuts, first, base = [], 0, 0
        for end, total in zip(ends, rows, strict=True):
            if total - base >= JOINED_ROWS or end == ends[-1]:
                cuts.append((first, int(end)))
                first, base = int(end), int(total)
        return cuts

    def coverage(self, document_H: np.ndarray, hash_H: np.ndarray) -> tuple[list[int], list[int], list[int]]:
        """Items, documents, and how many units of the item the runs in that document cover."""
        low, high = np.searchsorted(self.hash_R, hash_H, "left"), np.searchsorted(self.hash_R, hash_H, "right")
        counts = high - low
        row_J = np.repeat(low - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(counts.sum())
        document_J, item_J, place_J = np.repeat(document_H, counts), self.item_R[row_J], self.place_R[row_J]
        order = np.lexsort((place_J, document_J, item_J))
        document_J, item_J, place_J = document_J[order], item_J[order], place_J[order]
        length_J = self.length_R[row_J][order]
        if not len(item_J):
            return [], [], []
        last = np.concatenate([(item_J[1:] != item_J[:-1]) | (document_J[1:] != document_J[:-1]), [True]])
        step_J = np.where(last, length_J, np.minimum(length_J, np.concatenate([place_J[1:], [0]]) - place_J))
        ends = np.flatnonzero(last)
        covered = np.diff(np.concatenate([[0], np.cumsum(step_J)[ends]]))
        return item_J[ends].tolist(), document_J[ends].tolist(), covered.tolist()

    def runs(self, item: int, hashes: np.ndarray) -> list[tuple[int, int]]:
        """(place, length) of the item's runs that are among these hashes, in order."""
        first, end = np.searchsorted(self._item_sorted, [item, item + 1])
        rows = self._by_item[first:end]
        rows = rows[np.isin(self.hash_R[rows], hashes)]
        return sorted(zip(self.place_R[rows].tolist(), self.length_R[rows].tolist(), strict=True))


def scan(index: Index, documents: Iterable[Document]) -> Scan:
    """Look up a whole corpus."""
    found, batch, size = Scan(index), [], 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= BATCH_CHARS:
            found.add(batch)
            batch, size = [], 0
    if batch:
        found.add(batch)
    return found
