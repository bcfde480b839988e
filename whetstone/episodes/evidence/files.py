"""Files that a user adds as evidence: plain text, Markdown, a saved page, the text of a PDF."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from whetstone.episodes.evidence import webpage
from whetstone.episodes.formats.decoding import decoded
from whetstone.errors import UsageError

LARGEST = 32 << 20  # bytes


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
    if webpage.is_page(text):
        page = webpage.read(text, path.name)
        return EvidenceFile(page.title or path.stem, page.text, page.address or path.name, page.published)
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
    return EvidenceFile(path.stem, text, path.name, changed)
