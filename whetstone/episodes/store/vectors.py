"""Vectors of passages: kept as float16 with the store, compared in memory.

A passage is some consecutive segments, about 50 words: one sentence alone is too little to say what it is about, and
there are four times fewer passages than sentences. 200,000 of them (a thousand hours) are 150 MB at 384 numbers each.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whetstone.episodes.embedding import Embedder, unit
from whetstone.episodes.store.database import Database
from whetstone.episodes.store.library import Store
from whetstone.episodes.transcript import Transcript
from whetstone.errors import UsageError

FEWEST, WORDS, MOST = 25, 50, 80  # words of a passage: a turn ends it from FEWEST on, a sentence from WORDS on
_BLOCK = 128  # passages compared at a time: their float32 copies stay in the processor's nearest cache
_SIGN_AND_REST = -0x70002000  # 0x8fffe000: the sign's bit, and the 15 others where they are after the shift


@dataclass(frozen=True)
class Near:
    """A passage of `owner` (an episode or a document): its parts `first` to `end`, not included; and the cosine."""

    owner: int
    first: int
    end: int
    cosine: float


def spans(transcript: Transcript) -> Iterator[tuple[int, int]]:
    """The passages of a transcript as segments, from the first to the one after the last."""
    first = count = 0
    for each in transcript.segments:
        words = each.end - each.first
        turned = each.id and each.speaker != transcript.segments[each.id - 1].speaker
        full = count >= WORDS or count + words > MOST or (count >= FEWEST and (turned or each.paragraph))
        if count and full:
            yield first, each.id
            first, count = each.id, 0
        count += words
    if count:
        yield first, len(transcript.segments)


def index_episode(store: Store, embedder: Embedder, episode: int, transcript: Transcript | None = None) -> bool:
    """Compute an episode's vectors and keep them; False where they were there, or it has no transcript.

    transcript: what the store holds for the episode, where the caller has it at hand.
    """
    question = "SELECT 1 FROM vectors WHERE model = ? AND kind = 'episode' AND owner = ?"
    if store.row(question, (embedder.name, episode)) is not None:
        return False
    found = transcript or store.transcript(episode, as_published=True)
    if found is None:
        return False
    cuts = list(spans(found))
    texts = [found.text(found.segments[first].first, found.segments[end - 1].end) for first, end in cuts]
    _keep(store, embedder, "episode", episode, cuts, texts)
    return True


def index_document(store: Database, embedder: Embedder, document: int) -> bool:
    """`index_episode` of a document of evidence, a vector for each of its passages."""
    question = "SELECT 1 FROM vectors WHERE model = ? AND kind = 'document' AND owner = ?"
    if store.row(question, (embedder.name, document)) is not None:
        return False
    rows = store.rows("SELECT id, text FROM passages WHERE document = ? ORDER BY number", (document,))
    if not rows:
        return False
    _keep(store, embedder, "document", document, [(row[0], row[0] + 1) for row in rows], [row[1] for row in rows])
    return True


def missing(store: Database, embedder: Embedder) -> tuple[list[int], list[int]]:
    """The episodes and the documents that have no vectors of this model yet. Pages that a search found get none: they
    are many, and each is looked at for one claim only."""

    def without(table: str, column: str, kind: str, condition: str = "1") -> list[int]:
        rows = store.rows(
            f"""SELECT {column} FROM {table} WHERE {condition} AND {column} NOT IN
                (SELECT owner FROM vectors WHERE model = ? AND kind = ?) ORDER BY {column}""",
            (embedder.name, kind),
        )
        return [row[0] for row in rows]

    episodes = without("transcripts", "episode", "episode")
    return episodes, without("documents", "id", "document", "retrieved = ''")


def _keep(
    store: Database, embedder: Embedder, kind: str, owner: int, cuts: Sequence[tuple[int, int]], texts: Sequence[str]
) -> None:
    vectors_ND = unit(embedder.embed(texts))  # outside of the transaction: an endpoint may take minutes
    spans_N2 = np.array(cuts, dtype="<i8")
    with store.writing() as base:
        base.execute(
            "INSERT OR REPLACE INTO vectors VALUES (?,?,?,?,?,?)",
            (kind, owner, embedder.name, vectors_ND.shape[1], spans_N2.tobytes(), vectors_ND.astype("<f2").tobytes()),
        )
        base.execute("UPDATE state SET value = value + 1 WHERE key = 'vectors'")


@dataclass(frozen=True)
class _Loaded:
    """All vectors of a kind: float16 [N, D], the owner of each [N] and its parts [N, 2], at a revision."""

    revision: int
    vectors_ND: NDArray[np.float16]
    owners_N: NDArray[np.int64]
    spans_N2: NDArray[np.int64]


class Index:
    """The vectors of one model and one kind ("episode" or "document"), read once and again when they change."""

    def __init__(self, store: Database, embedder: Embedder, kind: str = "episode") -> None:
        self.store, self.embedder, self.kind = store, embedder, kind
        self._loaded: _Loaded | None = None
        self._lock = threading.Lock()

    def nearest(self, query_D: NDArray[np.float32], count: int, owners: Sequence[int] | None = None) -> list[Near]:
        """The passages nearest to a unit vector, the best first; only those of `owners`, where given.

        Raises UsageError where the vectors are of another length than the query's: another model under the same name.
        """
        loaded = self._current()
        if not len(loaded.owners_N) or not count:
            return []
        if loaded.vectors_ND.shape[1] != len(query_D):
            raise UsageError(f"the library's vectors of {self.embedder.name} have another length: index it anew")
        cosines_N = _cosines(loaded.vectors_ND, query_D)
        if owners is not None:
            cosines_N[~np.isin(loaded.owners_N, list(owners))] = -2
        count = min(count, len(cosines_N))
        best = np.argpartition(-cosines_N, count - 1)[:count]
        best = best[np.lexsort((best, -cosines_N[best]))]
        return [
            Near(
                int(loaded.owners_N[at]), int(loaded.spans_N2[at, 0]), int(loaded.spans_N2[at, 1]), float(cosines_N[at])
            )
            for at in best.tolist()
            if cosines_N[at] > 0
        ]

    def _current(self) -> _Loaded:
        with self._lock:
            row = self.store.row("SELECT value FROM state WHERE key = 'vectors'")
            assert row is not None
            if self._loaded is None or self._loaded.revision != row[0]:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> _Loaded:
        key = (self.embedder.name, self.kind)
        with self.store.reading():
            revision = self.store.rows("SELECT value FROM state WHERE key = 'vectors'")[0][0]
            owners = self.store.rows(
                """SELECT owner, dimension, length(spans) / 16 AS count FROM vectors WHERE model = ? AND kind = ?
                ORDER BY owner""",
                key,
            )
            dimension = owners[0]["dimension"] if owners else 1
            if any(row["dimension"] != dimension for row in owners):
                raise UsageError(f"the library's vectors of {self.embedder.name} differ in length: index it anew")
            counts = [row["count"] for row in owners]
            vectors_ND = np.empty((sum(counts), dimension), dtype=np.float16)
            spans_N2 = np.empty((sum(counts), 2), dtype=np.int64)
            at = 0
            for row, count in zip(owners, counts, strict=True):  # one at a time: all of them twice is a lot of memory
                question = "SELECT spans, f16 FROM vectors WHERE model = ? AND kind = ? AND owner = ?"
                [found] = self.store.rows(question, (*key, row["owner"]))
                spans_N2[at : at + count] = np.frombuffer(found["spans"], "<i8").reshape(count, 2)
                vectors_ND[at : at + count] = np.frombuffer(found["f16"], "<f2").reshape(count, dimension)
                at += count
        owners_N = np.repeat(np.array([row["owner"] for row in owners], dtype=np.int64), counts)
        return _Loaded(revision, vectors_ND, owners_N, spans_N2)


def _cosines(vectors_ND: NDArray[np.float16], query_D: NDArray[np.float32]) -> NDArray[np.float32]:
    """The products of float16 vectors with a float32 query.

    numpy turns halves into floats one by one, with branches that vectors with many zeros make slow. Here their bits are
    moved instead: a half shifted by 13 bits is the float of its value times 2^-112 (the exponents' biases, 127 and 15,
    differ by that), which the query makes good. Exact, subnormal numbers included.
    """
    cosines_N = np.empty(len(vectors_ND), dtype=np.float32)
    bits_ND = vectors_ND.view(np.int16)
    scaled_D = query_D * np.float32(2.0**112)
    block_BD = np.empty((_BLOCK, vectors_ND.shape[1]), dtype=np.int32)
    for begin in range(0, len(vectors_ND), _BLOCK):
        part = bits_ND[begin : begin + _BLOCK]
        floats = block_BD[: len(part)]
        np.copyto(floats, part)  # the sign comes along to the left
        np.left_shift(floats, 13, out=floats)
        np.bitwise_and(floats, _SIGN_AND_REST, out=floats)
        np.dot(floats.view(np.float32), scaled_D, out=cosines_N[begin : begin + len(part)])
    return cosines_N
