"""The words of a web page, without what surrounds them or is hidden, and what the page says of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from whetstone.episodes.formats.markup import scan
from whetstone.episodes.formats.reading import unescaped


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_UNREAD = _words("""
    script style template noscript svg math head nav header footer aside button select textarea iframe dialog
""")
_BREAKS = _words("""
    p div li br ul ol dl dt dd h1 h2 h3 h4 h5 h6 hr tr td th table section article main blockquote pre figure figcaption
    caption details summary form body
""")
_VOID = _words("area base br col embed hr img input link meta param source track wbr")
_ATTRIBUTE = re.compile(r"""([a-z][a-z:-]{0,30})(?:\s{0,9}=\s{0,9}("[^"]*"|'[^']*'|[^\s"'>]+))?""", re.IGNORECASE)
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0(?![.\d])", re.IGNORECASE
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
LONGEST_TAG = 2000  # characters of attributes that are read
DEEPEST = 500  # elements inside a hidden one; what is nested deeper stays hidden until it ends


@dataclass(frozen=True)
class WebPage:
    """Paragraphs with an empty line between them; the title, the address that the page calls its own, and its day (ISO
    date), "" where it has none."""

    text: str
    title: str = ""
    address: str = ""
    published: str = ""


def is_page(text: str) -> bool:
    """Whether a text is HTML, by how it begins."""
    return re.search(r"<(?:!doctype html|html|head|body)\b", text[:4096], re.IGNORECASE) is not None


def read(text: str, what: str) -> WebPage:
    """The page, in time linear in its length; nothing in it is run or fetched. `what`: its name in messages. Raises
    UsageError beyond two million tags."""
    page = _Page()
    for kind, content, attributes in scan(text, what):
        if kind == "text":
            page.words(content)
        elif kind == "open":
            page.open(content, attributes)
        else:
            page.close(content)
    lines = (" ".join(line.split()) for line in unescaped("".join(page.parts)).split("\n"))
    return WebPage("\n\n".join(line for line in lines if line), page.title, page.address, page.published)


class _Page:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.title = self.address = self.published = ""
        self._hidden: list[str] = []  # the elements that are open, from the outermost hidden one on
        self._in_title = False

    def words(self, content: str) -> None:
        if self._in_title:
            self.title = self.title or " ".join(unescaped(content[:1000]).split())[:200]
        elif not self._hidden:
            # a line end in the page's source is a space
            self.parts.append(content.replace("\n", " "))

    def open(self, tag: str, raw: str) -> None:
        if tag in ("link", "meta"):
            self._of_itself(tag, _attributes(raw))
        elif tag == "title":
            self._in_title = True
        elif self._hidden:
            if tag not in _VOID and len(self._hidden) < DEEPEST:
                self._hidden.append(tag)
        elif tag in _UNREAD or (raw and tag not in _VOID and _is_hidden(raw)):
            self._hidden.append(tag)
        if tag in _BREAKS and not self._hidden:
            self.parts.append("\n")

    def close(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif tag in self._hidden:  # elements inside that were never closed end with it
            while self._hidden.pop() != tag:
                pass
        if tag in _BREAKS and not self._hidden:
            self.parts.append("\n")

    def _of_itself(self, tag: str, found: dict[str, str]) -> None:
        if tag == "link" and found.get("rel") == "canonical":
            self.address = self.address or found.get("href", "")[:500]
        elif tag == "meta" and found.get("property", found.get("name")) in ("article:published_time", "date"):
            day = _DAY.match(found.get("content", ""))
            self.published = self.published or (day[0] if day else "")


def _attributes(raw: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(raw[:LONGEST_TAG]):
        found.setdefault(match[1].lower(), unescaped((match[2] or "").strip("\"'")))
    return found


def _is_hidden(raw: str) -> bool:
    """Whether an element's own attributes hide it from a reader; what a style sheet hides is not known."""
    found = _attributes(raw)
    return "hidden" in found or found.get("aria-hidden") == "true" or bool(_HIDING.search(found.get("style", "")))
