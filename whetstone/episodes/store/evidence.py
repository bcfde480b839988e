"""Documents that are evidence: those that the user adds, and pages that a search of the user's found. Kept as text, cut
into passages, in a full-text index of their own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from whetstone.episodes.formats.reading import cleaned
from whetstone.episodes.store.database import Database
from whetstone.errors import UsageError

LARGEST = 20_000_000  # characters of one document
PASSAGE = 120  # words of a passage, about
_SENTENCE_END = re.compile(r"[.?!\u2026][\"'\u201d\u2019)\]]*$")


@dataclass(frozen=True)
class Document:
    """A source. `source`: an address or a file's name; `published`: an ISO date or ""; `retrieved`: when a search found
    it (ISO), "" for what the user added."""

    id: int
    title: str
    source: str
    published: str
    passages: int
    retrieved: str = ""


def add(store: Database, title: str, text: str, source: str = "", published: str = "", retrieved: str = "") -> int:
    """The number of the document; the same text is the same document, and what the user added stays the user's when a
    search finds it. Raises UsageError where it has no words or is too long."""
    title, source = (" ".join(cleaned(each).split()) for each in (title, source))
    if len(text) > LARGEST:
        raise UsageError(f"{source or title} is longer than {LARGEST:,} characters: add the part that matters")
    passages = list(_passages(cleaned(text)))
    if not passages:
        raise UsageError(f"{source or title} holds no words")
    sha256 = hashlib.sha256("\n".join(passages).encode()).hexdigest()
    with store.writing() as base:
        found = base.execute("SELECT id, retrieved FROM documents WHERE sha256 = ?", (sha256,)).fetchone()
        if found is not None:
            if found[1] or not retrieved:
                base.execute(
                    "UPDATE documents SET title = ?, source = ?, published = ?, retrieved = ? WHERE id = ?",
                    (title, source, published, retrieved, found[0]),
                )
            return int(found[0])
        now = datetime.now(UTC).isoformat(timespec="seconds")
        made = base.execute(
            "INSERT INTO documents (title, source, published, sha256, added, retrieved) VALUES (?,?,?,?,?,?)",
            (title, source, published, sha256, now, retrieved),
        ).lastrowid
        base.executemany(
            "INSERT INTO passages (document, number, text) VALUES (?,?,?)",
            [(made, number, passage) for number, passage in enumerate(passages)],
        )
        base.execute("INSERT INTO evidence (rowid, text) SELECT id, text FROM passages WHERE document = ?", (made,))
        return int(made or 0)


def documents(store: Database) -> list[Document]:
    """All documents, the first added first."""
    rows = store.rows(
        """SELECT d.id, d.title, d.source, d.published, count(p.id), d.retrieved FROM documents d
        JOIN passages p ON p.document = d.id GROUP BY d.id ORDER BY d.id"""
    )
    return [Document(*row) for row in rows]


def text(store: Database, document: int) -> str:
    """A document's whole text, passages parted by newlines. Raises UsageError where there is no such document."""
    rows = store.rows("SELECT text FROM passages WHERE document = ? ORDER BY number", (document,))
    if not rows:
        raise UsageError(f"the library has no document {document}")
    return "\n".join(row[0] for row in rows)


def remove(store: Database, document: int) -> None:
    """Take a document out."""
    with store.writing() as base:
        base.execute(
            "INSERT INTO evidence (evidence, rowid, text) SELECT 'delete', id, text FROM passages WHERE document = ?",
            (document,),
        )
        base.execute("DELETE FROM vectors WHERE kind = 'document' AND owner = ?", (document,))
        base.execute("UPDATE state SET value = value + 1 WHERE key = 'vectors'")
        base.execute("DELETE FROM documents WHERE id = ?", (document,))


def _passages(content: str) -> Iterator[str]:
    """Paragraphs; long ones are cut after a sentence, short ones stay with the next."""
    gathered: list[str] = []
    for paragraph in re.split(r"\n\s*\n", content):
        for word in paragraph.split():
            gathered.append(word)
            ended = len(gathered) >= PASSAGE and _SENTENCE_END.search(word)
            if ended or len(gathered) >= 2 * PASSAGE:
                yield " ".join(gathered)
                gathered = []
        if len(gathered) >= PASSAGE // 4:
            yield " ".join(gathered)
            gathered = []
    if gathered:
        yield " ".join(gathered)
