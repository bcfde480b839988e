"""HTML transcripts in: cite, time and p as the podcast namespace has them, or a saved page's paragraphs.

The page is only cut into tags and text; nothing in it is run or fetched. The scanner is linear in the page's length
and keeps no stack, so that neither unclosed comments nor deep nesting cost more than other text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from whetstone.episodes.formats import turns
from whetstone.episodes.formats.reading import Reading, clock, name, unescaped
from whetstone.episodes.formats.turns import Paragraph
from whetstone.errors import UsageError

_NAME = re.compile(r"/?[a-zA-Z][a-zA-Z0-9:-]{0,30}")
_UNSAID = "script style template noscript svg math head nav footer aside form button select textarea iframe"
_SEPARATE = """
    p div br li ul ol dl dt dd tr td th table section article main header blockquote pre h1 h2 h3 h4 h5 h6 hr figure
    figcaption body html address details summary nav footer aside form
"""
_SILENT, _BLOCKS = frozenset(_UNSAID.split()), frozenset(_SEPARATE.split())
_RAW = {tag: re.compile(f"</{tag}", re.IGNORECASE) for tag in ("script", "style", "textarea", "title")}
MOST_TAGS = 2_000_000


def scan(text: str, what: str) -> Iterator[tuple[str, str, str]]:
    """("text", characters, ""), ("open", name, its attributes as they stand there) and ("close", name, "") in the order
    of the page; names in lower case.

    Comments and declarations are left out; so is what stands inside script and style. Raises UsageError beyond two
    million tags.
    """
    at = count = 0
    close = -1
    while at < len(text):
        begin = text.find("<", at)
        if begin < 0:
            yield "text", text[at:], ""
            return
        if begin > at:
            yield "text", text[at:begin], ""
        if text.startswith("<!--", begin):
            ending = text.find("-->", begin + 4)
            at = len(text) if ending < 0 else ending + 3
            continue
        if close < begin:  # else the ">" that was found for an earlier "<" is still the next one
            close = text.find(">", begin)
        if close < 0:
            yield "text", text[begin:], ""
            return
        count += 1
        if count > MOST_TAGS:
            raise UsageError(f"{what} has more than {MOST_TAGS:,} tags: that is no transcript")
        found = _NAME.match(text, begin + 1)
        if found is None:
            if text[begin + 1] in "!?":
                at = close + 1
            else:  # "a < b"
                yield "text", "<", ""
                at = begin + 1
            continue
        tag = found[0].lower()
        at = close + 1
        if tag.startswith("/"):
            yield "close", tag[1:], ""
            continue
        yield "open", tag, text[found.end() : close]
        if tag in _RAW:
            end = _RAW[tag].search(text, at)
            if tag in ("title", "textarea"):
                yield "text", text[at : end.start() if end else len(text)], ""
            at = end.start() if end else len(text)


def read(text: str, what: str) -> Reading:
    """The words of an HTML transcript. Raises UsageError where there are none."""
    page = _Page()
    for kind, content, _ in scan(text, what):
        page.take(kind, content)
    page.end_paragraph()
    cited = [each for each in page.paragraphs if each.speaker or each.start is not None]
    # where names and times are marked up, what stands outside of <p> is the site's, not the conversation's
    kept = [each for each, inside in zip(page.paragraphs, page.inside, strict=True) if inside] if cited else []
    return turns.reading(kept or page.paragraphs, "html", what, page.title)


class _Page:
    """What has been seen of a page so far."""

    def __init__(self) -> None:
        self.paragraphs: list[Paragraph] = []
        self.inside: list[bool] = []  # of a <p>
        self.title = ""
        self._text: list[str] = []
        self._field = ""  # "cite", "time" or "title" while one is open
        self._gathered: list[str] = []
        self._speaker = ""
        self._start: float | None = None
        self._silent = ""
        self._depth = 0  # of the silent element that is open, counted in its own name
        self._in_p = False

    def take(self, kind: str, content: str) -> None:
        """One piece of the page."""
        if kind == "text":
            if self._field:
                self._gathered.append(content)
            elif not self._silent:
                self._text.append(content)
        elif self._silent and content != "title":
            self._depth += (content == self._silent) * (1 if kind == "open" else -1)
            if self._depth == 0:
                self._silent = ""
        elif content in ("cite", "time", "title"):
            self._take_field(kind, content)
        elif kind == "open" and content in _SILENT:
            if content in _BLOCKS:
                self.end_paragraph()
            self._silent, self._depth = content, 1
        elif content in _BLOCKS:
            self.end_paragraph()
            if content == "p":
                self._in_p = kind == "open"

    def _take_field(self, kind: str, tag: str) -> None:
        if kind == "open":
            if tag != "title" and not self._in_p:
                self.end_paragraph()
            self._field, self._gathered = tag, []
            return
        if self._field != tag:
            return
        self._field, said = "", unescaped("".join(self._gathered))[:1000]
        if tag == "title":
            self.title = self.title or said
        elif self._in_p and "".join(self._text).strip():
            self._text.append(said)  # a book that somebody cites, a time that somebody names
        elif tag == "cite":
            self._speaker = name(said)
        else:
            self._start = clock(said.strip(" \n\t[]()"))

    def end_paragraph(self) -> None:
        """Close the paragraph that is open. A name or a time without words waits for the next one."""
        text = unescaped("".join(self._text)).strip()
        self._text = []
        if not text:
            return
        self.paragraphs.append(Paragraph(text, self._speaker, self._start))
        self.inside.append(self._in_p)
        self._speaker, self._start = "", None
