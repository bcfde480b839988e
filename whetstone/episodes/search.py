"""Search over a library: words (FTS5, bm25) and meaning (cosines of passages), joined by reciprocal rank.

Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): a hit's score is the sum of 1 / (60 + its rank) over the
lists that hold it, so that scores of different kinds need no common scale.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from whetstone.episodes import query as queries
from whetstone.episodes.embedding import Embedder, HashedEmbedder
from whetstone.episodes.query import Query
from whetstone.episodes.store import schema, vectors
from whetstone.episodes.store.library import Store

RANK_CONSTANT = 60
EACH = 60  # hits taken from each list before they are joined
_WIDE = 400  # passages looked at where a filter may drop most of them
LONGEST_SNIPPET = 320  # characters

_SHOWN = "coalesce(o.name, r.name, s.speaker)"
SEGMENT_ROWS = f"""
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
class Found:
    """A passage of a document of evidence; `retrieved`: when a search found it, "" for what the user added."""

    passage: int
    document: int
    title: str
    source: str
    published: str
    text: str
    score: float
    retrieved: str = ""


@dataclass
class Scored:
    """An item's score and the lists that hold it."""

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
            ids = self._exact(query, self.words(query.every(), asked, max(limit, EACH)))
            if not ids and len(query.terms) > 1:
                ids = self._exact(query, self.words(query.any(), asked, max(limit, EACH)))
            found.append(("words", ids))
        # who puts everything into quotation marks wants these words and no others
        if "meaning" in ways and not all(term.quoted for term in query.terms):
            found.append(("meaning", self.meaning(query, asked, max(limit, EACH), found[0][1] if found else ())))
        return self.hits(query, fused(found), limit)

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
        ids = [id for near in passages for id in _rows_of(near)]
        texts = {row["id"]: row["text"] for row in self._rows(ids, filters if filters.by_segment else Filters())}
        for id in self._matching(query.unwanted_expression(), list(texts)):
            del texts[id]
        merits_N = self._floor.embed(list(texts.values())) @ self._floor.embed([query.text])[0]
        # of equal segments the longest speaks for its passage
        merits = {id: (merit, len(texts[id])) for id, merit in zip(texts, merits_N.tolist(), strict=True)}
        spoken_for = set(known)
        chosen: list[int] = []
        for near in passages:
            held = [id for id in _rows_of(near) if id in texts]
            if both := [id for id in held if id in spoken_for]:
                chosen.append(both[0])
            elif held:
                best = max(held, key=merits.__getitem__)
                if self.embedder.least == 0 or merits[best][0] >= self.embedder.least:
                    chosen.append(best)
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

    def _rows(self, ids: Sequence[int], filters: Filters | None = None) -> list[sqlite3.Row]:
        """What is known of the segments with these row ids, of those that pass the filters."""
        condition, values = (filters or Filters()).conditions()
        found: list[sqlite3.Row] = []
        for begin in range(0, len(ids), 2000):
            places = ",".join(map(str, ids[begin : begin + 2000]))
            found += self.store.rows(f"{SEGMENT_ROWS} WHERE s.id IN ({places}) AND {condition or 1}", values)
        return found

    def hits(self, query: Query, scored: dict[int, Scored], limit: int) -> list[Hit]:
        """The segments with the best scores."""
        best = sorted(scored, key=lambda id: (-scored[id].score, id))[:limit]
        rows = {row["id"]: row for row in self._rows(best)}
        marked = self._marked(query, best)
        return [_hit(rows[id], marked.get(id), scored[id]) for id in best if id in rows]

    def _exact(self, query: Query, ids: list[int]) -> list[int]:
        if not any(term.quoted for term in query.terms):
            return ids
        texts = {row["id"]: row["text"] for row in self._rows(ids)}
        return [id for id in ids if query.exact(texts[id])]

    def _matching(self, expression: str, ids: Sequence[int]) -> list[int]:
        """Those of the segments that match an expression."""
        if not expression or not ids:
            return []
        places = ",".join(map(str, ids))
        rows = self.store.rows(f"SELECT rowid FROM spoken WHERE spoken MATCH ? AND rowid IN ({places})", (expression,))
        return [row[0] for row in rows]

    def _marked(self, query: Query, ids: Sequence[int]) -> dict[int, str]:
        """The segments' texts with what the query's words match between two control characters."""
        rows = self.store.rows(
            f"""SELECT rowid, highlight(spoken, 0, char(2), char(3)) FROM spoken
            WHERE spoken MATCH ? AND rowid IN ({",".join(map(str, ids))})""",
            (query.any(),),
        )
        return {row[0]: row[1] for row in rows}

    # -- evidence -------------------------------------------------------------------------------------------------

    def evidence(self, text: str, limit: int = 8, documents: Sequence[int] | None = None) -> list[Found]:
        """The passages that have most to do with a text, the best first: of the documents with these numbers, by their
        words; None: of those that the user added, by meaning too."""
        query = queries.parsed(text)
        if not query.terms:
            return []
        numbers = ",".join(str(int(each)) for each in documents or ())
        inside = "d.retrieved = ''" if documents is None else f"d.id IN ({numbers})"
        rows = self.store.rows(
            f"""SELECT rowid FROM evidence WHERE evidence MATCH ? AND rowid IN (SELECT p.id FROM passages p
            JOIN documents d ON d.id = p.document WHERE {inside}) ORDER BY rank LIMIT ?""",
            (query.any(), EACH),
        )
        lists = [("words", [row[0] for row in rows])]
        if documents is None:
            nearest = self._evidence.nearest(self.embedder.embed([query.text])[0], EACH)
            lists.append(("meaning", [near.first for near in nearest if near.cosine >= self.embedder.least]))
        scored = fused(lists)
        best = sorted(scored, key=lambda id: (-scored[id].score, id))[:limit]
        found = self.store.rows(
            f"""SELECT p.id, p.document, d.title, d.source, d.published, p.text, d.retrieved FROM passages p
            JOIN documents d ON d.id = p.document WHERE p.id IN ({",".join("?" * len(best))})""",
            best,
        )
        by_id = {row["id"]: row for row in found}
        return [
            Found(
                id, row["document"], row["title"], row["source"], row["published"], row["text"], scored[id].score,
                row["retrieved"],
            )
            for id in best
            if (row := by_id.get(id)) is not None
        ]  # fmt: skip


def _rows_of(near: vectors.Near) -> range:
    begin = near.owner << schema.SHIFT
    return range(begin + near.first, begin + near.end)


def fused(lists: Sequence[tuple[str, Sequence[int]]]) -> dict[int, Scored]:
    """Reciprocal rank fusion; an item counts once in each list, at its best rank."""
    scored: dict[int, Scored] = {}
    for way, ids in lists:
        for rank, id in enumerate(dict.fromkeys(ids), 1):
            item = scored.setdefault(id, Scored())
            item.score += 1 / (RANK_CONSTANT + rank)
            item.ways.append(way)
    return scored


def _hit(row: sqlite3.Row, marked: str | None, scored: Scored) -> Hit:
    snippet, marks = _snippet(*_unmarked(marked if marked is not None else row["text"]))
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


def _unmarked(marked: str) -> tuple[str, list[tuple[int, int]]]:
    """A text without the two control characters, and what stood between them: first character, one after the last."""
    parts, marks, at = [], [], 0
    for number, part in enumerate(re.split("[\x02\x03]", marked)):
        if number % 2:
            marks.append((at, at + len(part)))
        parts.append(part)
        at += len(part)
    return "".join(parts), marks


def _snippet(text: str, marks: list[tuple[int, int]]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The segment's text; of a very long one the part around the first match, with dots where it is cut."""
    if len(text) <= LONGEST_SNIPPET:
        return text, tuple(marks)
    begin = max(0, (marks[0][0] if marks else 0) - LONGEST_SNIPPET // 4)
    begin = text.rfind(" ", 0, begin + 1) + 1
    end = begin + LONGEST_SNIPPET
    end = len(text) if end >= len(text) else max(text.rfind(" ", begin, end), begin + 1)
    opening, closing = "… " if begin else "", " …" if end < len(text) else ""
    shift = len(opening) - begin
    inside = tuple((first + shift, last + shift) for first, last in marks if begin <= first and last <= end)
    return f"{opening}{text[begin:end]}{closing}", inside
