"""Search over a library: words (FTS5, bm25) and meaning (cosines of passages), joined by reciprocal rank.

Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): a hit's score is the sum of 1 / (60 + its rank) over the
lists that hold it, so that scores of different kinds need no common scale.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from whetstone.episodes import query as queries
from whetstone.episodes.embedding import Embedder, HashedEmbedder
from whetstone.episodes.query import Query
from whetstone.episodes.store import schema, vectors
from whetstone.episodes.store.library import Store

RANK_CONSTANT = 60
_EACH = 60  # hits taken from each list before they are joined
_WIDE = 400  # passages looked at where a filter may drop most of them
LONGEST_SNIPPET = 320  # characters

_SHOWN = "coalesce(o.name, r.name, s.speaker)"
_ROWS = f"""
    SELECT s.id, s.first, s.count, s.start, s.finish, s.text, {_SHOWN} AS speaker, e.id AS episode, e.title,
        e.published, w.title AS show_title
    FROM segments s JOIN episodes e ON e.id = s.id >> {schema.SHIFT} JOIN shows w ON w.id = e.show
    LEFT JOIN overrides o ON o.segment = s.id LEFT JOIN renames r ON r.episode = e.id AND r.speaker = s.speaker
"""


@dataclass(frozen=True)
class Filters:
    """What a hit must be of; None and "" ask nothing. `since` and `until` are ISO dates, both included; `speaker` is
    the name that is shown; `quoted`: the segment holds words that the episode's page quotes."""

    show: int | None = None
    episode: int | None = None
    speaker: str = ""
    since: str = ""
    until: str = ""
    quoted: bool = False

    def conditions(self) -> tuple[str, list[object]]:
        """As SQL over the rows of segments and episodes."""
        parts: list[str] = []
        values: list[object] = []
        for condition, value in [
            ("e.show = ?", self.show),
            ("e.id = ?", self.episode),
            (f"{_SHOWN} = ?", self.speaker or None),
            ("substr(e.published, 1, 10) >= ?", self.since or None),
            ("substr(e.published, 1, 10) <= ? AND e.published != ''", self.until or None),
        ]:
            if value is not None:
                parts.append(condition)
                values.append(value)
        if self.quoted:
            parts.append(
                "EXISTS (SELECT 1 FROM quotes q WHERE q.episode = e.id AND q.first < s.first + s.count"
                " AND q.finish > s.first)"
            )
        return " AND ".join(parts), values

    @property
    def by_segment(self) -> bool:
        """Whether some segments of an episode may pass and others not."""
        return bool(self.speaker) or self.quoted


@dataclass(frozen=True)
class Hit:
    """A segment that was found. `start` and `end` in seconds, None where nobody knows. `marks`: where the query's words
    stand in `snippet`. `ways`: how it was found, "words", "meaning" or both."""

    episode: int
    segment: int
    title: str
    show: str
    published: str
    speaker: str
    start: float | None
    end: float | None
    snippet: str
    marks: tuple[tuple[int, int], ...]
    score: float
    ways: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """Consecutive segments `first` to `end` (not included) of an episode that may answer a question, as they were said.

    `asked`: the segment that asks it aloud, if one does. `hit` is the segment that was found.
    """

    episode: int
    first: int
    end: int
    asked: int | None
    start: float | None
    text: str
    speakers: tuple[str, ...]
    hit: Hit


@dataclass(frozen=True)
class Found:
    """A passage of a document that the user added as evidence."""

    passage: int
    document: int
    title: str
    source: str
    published: str
    text: str
    score: float


@dataclass
class _Scored:
    score: float = 0.0
    ways: list[str] = field(default_factory=list)


class Search:
    """Searches one library. `embedder`: whose vectors are compared; the library must have been indexed with it."""

    def __init__(self, store: Store, embedder: Embedder | None = None) -> None:
        self.store = store
        self.embedder = embedder or HashedEmbedder()
        self._index = vectors.Index(store, self.embedder)
        self._evidence = vectors.Index(store, self.embedder, "document")
        self._floor = HashedEmbedder()

    def index(self) -> int:
        """Compute the vectors that are missing, of episodes and documents; returns how many of these were done."""
        episodes, documents = vectors.missing(self.store, self.embedder)
        done = sum(vectors.index_episode(self.store, self.embedder, episode) for episode in episodes)
        return done + sum(vectors.index_document(self.store, self.embedder, document) for document in documents)

    def find(
        self, text: str, filters: Filters | None = None, limit: int = 20, ways: Sequence[str] = ("words", "meaning")
    ) -> list[Hit]:
        """The segments that match best. Any text is a query; see `query` for its few signs. `ways` leaves one out."""
        query = queries.parsed(text)
        asked = filters or Filters()
        if not query.terms:
            return []
        found: list[tuple[str, list[int]]] = []
        if "words" in ways:
            found.append(("words", self.words(query.every(), asked, max(limit, _EACH))))
            if not found[0][1] and len(query.terms) > 1:
                found[0] = ("words", self.words(query.any(), asked, max(limit, _EACH)))
        # who puts everything into quotation marks wants these words and no others
        if "meaning" in ways and not all(term.quoted for term in query.terms):
            found.append(("meaning", self.meaning(query, asked, max(limit, _EACH), found[0][1] if found else ())))
        return self._hits(query, _fused(found), limit)

    def words(self, expression: str, filters: Filters, count: int) -> list[int]:
        """Row ids of segments that an FTS5 expression matches, the best first."""
        if not expression:
            return []
        condition, values = filters.conditions()
        if not condition:
            rows = self.store.rows(
                "SELECT rowid FROM spoken WHERE spoken MATCH ? ORDER BY rank LIMIT ?", (expression, count)
            )
        else:
            rows = self.store.rows(
                f"""SELECT f.rowid FROM spoken f JOIN segments s ON s.id = f.rowid
                JOIN episodes e ON e.id = s.id >> {schema.SHIFT} LEFT JOIN overrides o ON o.segment = s.id
                LEFT JOIN renames r ON r.episode = e.id AND r.speaker = s.speaker
                WHERE spoken MATCH ? AND {condition} ORDER BY f.rank LIMIT ?""",
                (expression, *values, count),
            )
        return [row[0] for row in rows]

    def meaning(self, query: Query, filters: Filters, count: int, known: Iterable[int] = ()) -> list[int]:
        """Row ids of the segments that speak best for the passages nearest to a query, the best first.

        known: segments that were found by their words; a passage that holds one of them is spoken for by it.
        """
        narrow = not filters.by_segment and not query.unwanted
        passages = self._passages(query.text, filters, count if narrow else _WIDE)
        allowed = self._allowed(passages, filters) if filters.by_segment else None
        found_already = set(known)
        texts = self._texts(passages)
        query_D = self._floor.embed([query.text])[0]
        chosen: list[int] = []
        for near in passages:
            begin = near.owner << schema.SHIFT
            ids = [id for id in range(begin + near.first, begin + near.end) if allowed is None or id in allowed]
            ids = [id for id in ids if id in texts and not query.excludes(texts[id])]
            if both := [id for id in ids if id in found_already]:
                chosen.append(both[0])
            elif ids:
                merits_N = self._floor.embed([texts[id] for id in ids]) @ query_D
                lengths_N = np.array([len(texts[id]) for id in ids])
                best = int(np.lexsort((lengths_N, merits_N))[-1])
                if self.embedder.least == 0 or merits_N[best] >= self.embedder.least:
                    chosen.append(ids[best])
        return chosen[:count]

    def _passages(self, text: str, filters: Filters, count: int) -> list[vectors.Near]:
        near = self._index.nearest(self.embedder.embed([text])[0], count, self._owners(filters))
        return [each for each in near if each.cosine >= self.embedder.least]

    def _owners(self, filters: Filters) -> list[int] | None:
        """The episodes that can hold a hit; None: all."""
        if filters == Filters():
            return None
        condition, values = Filters(filters.show, filters.episode, "", filters.since, filters.until).conditions()
        parts = [condition] if condition else []
        if filters.speaker:
            parts.append(
                f"""(EXISTS (SELECT 1 FROM voices v LEFT JOIN renames r ON r.episode = v.episode AND
                r.speaker = v.speaker WHERE v.episode = e.id AND coalesce(r.name, v.speaker) = ?) OR EXISTS
                (SELECT 1 FROM overrides o WHERE o.segment >> {schema.SHIFT} = e.id AND o.name = ?))"""
            )
            values += [filters.speaker, filters.speaker]
        if filters.quoted:
            parts.append("EXISTS (SELECT 1 FROM quotes q WHERE q.episode = e.id)")
        rows = self.store.rows(f"SELECT e.id FROM episodes e WHERE {' AND '.join(parts) or 1}", values)
        return [row[0] for row in rows]

    def _allowed(self, passages: Sequence[vectors.Near], filters: Filters) -> set[int]:
        condition, values = filters.conditions()
        allowed: set[int] = set()
        for near in passages:
            begin = near.owner << schema.SHIFT
            rows = self.store.rows(
                f"{_ROWS} WHERE s.id BETWEEN ? AND ? AND {condition}",
                (begin + near.first, begin + near.end - 1, *values),
            )
            allowed.update(row["id"] for row in rows)
        return allowed

    def _texts(self, passages: Sequence[vectors.Near]) -> dict[int, str]:
        ids = [id for near in passages for id in _rows_of(near)]
        return {row["id"]: row["text"] for row in self._rows(ids)}

    def _rows(self, ids: Sequence[int]) -> list[sqlite3.Row]:
        found: list[sqlite3.Row] = []
        for begin in range(0, len(ids), 500):  # SQLite limits the number of values in a question
            part = ids[begin : begin + 500]
            found += self.store.rows(f"{_ROWS} WHERE s.id IN ({','.join('?' * len(part))})", part)
        return found

    def _hits(self, query: Query, scored: dict[int, _Scored], limit: int) -> list[Hit]:
        best = sorted(scored, key=lambda id: (-scored[id].score, id))[:limit]
        rows = {row["id"]: row for row in self._rows(best)}
        return [_hit(rows[id], query, scored[id]) for id in best if id in rows]

    # -- questions ------------------------------------------------------------------------------------------------

    def ask(self, question: str, filters: Filters | None = None, limit: int = 5) -> list[Answer]:
        """Spans of the library that may answer a question, the best first, none twice. Nothing is composed: each is
        what somebody said. Where the best match is itself a question, the span is what was answered to it."""
        query = queries.parsed(question)
        asked = filters or Filters()
        if not query.terms:
            return []
        by_words = self.words(query.any(), asked, _EACH)
        by_meaning = self.meaning(query, asked, _EACH, by_words)
        answers: list[Answer] = []
        for hit in self._hits(query, _fused([("words", by_words), ("meaning", by_meaning)]), 4 * limit):
            answer = self._answer(hit)
            overlaps = any(
                answer.episode == other.episode and answer.first < other.end and other.first < answer.end
                for other in answers
            )
            if not overlaps:
                answers.append(answer)
            if len(answers) == limit:
                break
        return answers

    def _answer(self, hit: Hit) -> Answer:
        begin = hit.episode << schema.SHIFT
        rows = self.store.rows(
            f"{_ROWS} WHERE s.id BETWEEN ? AND ? ORDER BY s.id",
            (begin + max(0, hit.segment - 2), begin + min(hit.segment + 12, (1 << schema.SHIFT) - 1)),
        )
        at = next(place for place, row in enumerate(rows) if row["id"] == begin + hit.segment)
        asked = None
        if rows[at]["text"].rstrip("\"'\u201d\u2019)").endswith("?") and at + 1 < len(rows):
            asked, at = hit.segment, at + 1
        first = last = at
        # what somebody says in one go after the best sentence belongs to it, and one sentence before
        count = len(rows[at]["text"].split())
        while last + 1 < len(rows) and rows[last + 1]["speaker"] == rows[at]["speaker"]:
            count += len(rows[last + 1]["text"].split())
            if count > vectors.MOST:
                break
            last += 1
        if asked is None and first and rows[first - 1]["speaker"] == rows[at]["speaker"] and count < vectors.MOST:
            first -= 1
        part = rows[first : last + 1]
        return Answer(
            hit.episode,
            part[0]["id"] - begin,
            part[-1]["id"] - begin + 1,
            asked,
            part[0]["start"],
            " ".join(row["text"] for row in part),
            tuple(dict.fromkeys(row["speaker"] for row in part)),
            hit,
        )

    # -- evidence -------------------------------------------------------------------------------------------------

    def evidence(self, text: str, limit: int = 8) -> list[Found]:
        """The passages of the user's documents that have most to do with a text, the best first."""
        query = queries.parsed(text)
        if not query.terms:
            return []
        rows = self.store.rows(
            "SELECT rowid FROM evidence WHERE evidence MATCH ? ORDER BY rank LIMIT ?", (query.any(), _EACH)
        )
        nearest = self._evidence.nearest(self.embedder.embed([query.text])[0], _EACH)
        nearest = [near for near in nearest if near.cosine >= self.embedder.least]
        scored = _fused([("words", [row[0] for row in rows]), ("meaning", [near.first for near in nearest])])
        best = sorted(scored, key=lambda id: (-scored[id].score, id))[:limit]
        found = self.store.rows(
            f"""SELECT p.id, p.document, d.title, d.source, d.published, p.text FROM passages p
            JOIN documents d ON d.id = p.document WHERE p.id IN ({",".join("?" * len(best))})""",
            best,
        )
        columns = ("id", "document", "title", "source", "published", "text")
        by_id = {row["id"]: [row[column] for column in columns] for row in found}
        return [Found(*by_id[id], scored[id].score) for id in best if id in by_id]


def _rows_of(near: vectors.Near) -> range:
    begin = near.owner << schema.SHIFT
    return range(begin + near.first, begin + near.end)


def _fused(lists: Sequence[tuple[str, Sequence[int]]]) -> dict[int, _Scored]:
    """Reciprocal rank fusion; an item counts once in each list, at its best rank."""
    scored: dict[int, _Scored] = {}
    for way, ids in lists:
        for rank, id in enumerate(dict.fromkeys(ids), 1):
            item = scored.setdefault(id, _Scored())
            item.score += 1 / (RANK_CONSTANT + rank)
            item.ways.append(way)
    return scored


def _hit(row: sqlite3.Row, query: Query, scored: _Scored) -> Hit:
    snippet, marks = _snippet(row["text"], query)
    return Hit(
        row["episode"],
        row["id"] - (row["episode"] << schema.SHIFT),
        row["title"],
        row["show_title"],
        row["published"],
        row["speaker"],
        row["start"],
        row["finish"],
        snippet,
        marks,
        scored.score,
        tuple(scored.ways),
    )


def _snippet(text: str, query: Query) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The segment's text; of a very long one the part around the first match, with dots where it is cut."""
    marks = query.marks(text)
    if len(text) <= LONGEST_SNIPPET:
        return text, marks
    begin = max(0, (marks[0][0] if marks else 0) - LONGEST_SNIPPET // 4)
    begin = text.rfind(" ", 0, begin + 1) + 1
    end = begin + LONGEST_SNIPPET
    end = len(text) if end >= len(text) else max(text.rfind(" ", begin, end), begin + 1)
    cut = ("… " if begin else "") + text[begin:end] + (" …" if end < len(text) else "")
    return cut, query.marks(cut)
