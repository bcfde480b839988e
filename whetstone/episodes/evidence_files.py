"""Files that a user adds as evidence: plain text, Markdown, a saved page, the text of a PDF."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

from whetstone.episodes.formats.decoding import decoded
from whetstone.errors import UsageError

LARGEST = 32 << 20  # bytes
_UNREAD = frozenset({"script", "style", "template", "noscript", "svg", "nav", "header", "footer", "aside", "form"})
_BREAKS = frozenset(
    {"p", "div", "li", "br", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "section", "article", "td", "th"}
)


@dataclass(frozen=True)
class EvidenceFile:
    """What stands in a file, what it is called, and from when it is as far as it says so (ISO date, or "")."""

    title: str
    text: str
    source: str
    published: str = ""


def document(path: Path) -> EvidenceFile:
    """Read one file. Raises UsageError for what holds no text (a PDF: its text has to be taken out first)."""
    try:
        content = path.read_bytes() if path.stat().st_size <= LARGEST else None
    except OSError as failure:
        raise UsageError(f"the evidence {path} cannot be read: {failure.strerror}") from None
    if content is None:
        raise UsageError(f"the evidence {path} is larger than {LARGEST >> 20} MB: add the part that matters")
    if content.startswith(b"%PDF"):
        raise UsageError(f"{path} is a PDF: take its text out first, as by `pdftotext {path.name}`, and add that")
    text, _ = decoded(content, path.name, LARGEST)
    if re.search(r"<(?:!doctype html|html|body)\b", text[:4096], re.IGNORECASE):
        page = _Page()
        page.feed(text)
        return EvidenceFile(page.title or path.stem, page.text, page.address or path.name, page.published)
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
    return EvidenceFile(path.stem, text, path.name, changed)


class _Page(HTMLParser):
    """The words of a saved page, without what surrounds them, and what it says of itself."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = self.address = self.published = ""
        self._parts: list[str] = []
        self._closed: list[str] = []
        self._in_title = False

    @property
    def text(self) -> str:
        """Paragraphs, one a line."""
        lines = (" ".join(line.split()) for line in "".join(self._parts).split("\n"))
        return "\n".join(line for line in lines if line)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in _UNREAD:
            self._closed.append(tag)
        elif tag in _BREAKS:
            self._parts.append("\n")
        elif tag == "title":
            self._in_title = True
        elif tag == "link" and found.get("rel") == "canonical":
            self.address = self.address or (found.get("href") or "")[:500]
        elif tag == "meta" and found.get("property", found.get("name")) in ("article:published_time", "date"):
            self.published = self.published or (found.get("content") or "")[:10]

    def handle_endtag(self, tag: str) -> None:
        if self._closed and tag == self._closed[-1]:
            self._closed.pop()
        elif tag == "title":
            self._in_title = False
        elif tag in _BREAKS:
            self._parts.append("\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title = (self.title + " " + " ".join(data.split())).strip()[:200]
        elif not self._closed:
            self._parts.append(data)
