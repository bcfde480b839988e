"""The last look at a page before anybody sees it: every quote that stands in its HTML is held against the transcript.

The contract with whoever renders: a quote is
`<blockquote data-first="12" data-end="31"><p>words</p><footer> <cite>Speaker</cite> </footer></blockquote>`;
the words in `<p>`, the first and the end of the transcript's words as attributes, and a `<cite>` only where the speaker
is certain. Only the text between the tags is trusted here: what a reader sees is what is checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from whetstone.episodes.gate import Accepted, Gate
from whetstone.errors import WorkFailed

_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)


@dataclass
class _Shown:
    """A quote as the page shows it."""

    first: str | None
    end: str | None
    words: list[str] = field(default_factory=list)
    speakers: list[str] = field(default_factory=list)
    paragraphs: int = 0
    stray: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def recheck(html: str, gate: Gate) -> int:
    """Hold every `<blockquote>` of a page against the transcript of `gate`; how many there were.

    Raises WorkFailed naming the quote that is not there word for word, that is not where it says, or that is given to
    somebody who does not say it.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    if reader.open:
        raise WorkFailed("the page's quotes cannot be checked: a <blockquote> is never closed")
    for shown in reader.quotes:
        problem = _problem(shown, gate)
        if problem:
            raise WorkFailed(f'the page was not written: its quote "{_short(shown.text)}" {problem}')
    return len(reader.quotes)


def _problem(shown: _Shown, gate: Gate) -> str:
    """What is wrong with a quote, or ""."""
    if not shown.text:
        return "has no words"
    if shown.paragraphs != 1 or "".join(shown.stray).strip():
        return "has words outside its one <p> and its <footer>"
    if not (shown.first or "").isdecimal() or not (shown.end or "").isdecimal():
        return "does not say where it is from (data-first, data-end)"
    first, end = int(shown.first or 0), int(shown.end or 0)
    placed = gate.words(first, end)
    if not isinstance(placed, Accepted):
        return f"is not a quote: {placed.reason} (words {first} to {end})"
    if shown.text != " ".join(gate.transcript.text(first, end).split()):
        found = gate.check(shown.text)
        if isinstance(found, Accepted):
            return f"is not what words {first} to {end} say"
        return f"is {found.reason}" + (f" ({found.nearest})" if found.nearest else "")
    names = [" ".join(name.split()) for name in shown.speakers]
    expected = [" ".join(placed.quote.speaker.split())] if placed.quote.speaker else []
    if names != expected:
        who = placed.quote.speaker or "nobody for certain"
        return f"is given to {', '.join(names) or 'nobody'}, and the transcript says {who}"
    return ""


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


class _Reader(HTMLParser):
    """Collects the quotes of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.quotes: list[_Shown] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "blockquote":
            if self.open:
                raise WorkFailed("the page's quotes cannot be checked: a <blockquote> stands in another")
            values = dict(attrs)
            self.quotes.append(_Shown(values.get("data-first"), values.get("data-end")))
            self.open.append(tag)
        elif self.open and tag not in _VOID:
            self.open.append(tag)
            if tag == "p":
                self.quotes[-1].paragraphs += 1
            if tag == "cite":
                self.quotes[-1].speakers.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # a browser reads <p/> as <p>; SVG, where it is an end, stands in no quote
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if not self.open:
            return
        shown = self.quotes[-1]
        if "cite" in self.open:
            shown.speakers[-1] += data
        elif "p" in self.open and "footer" not in self.open:
            shown.words.append(data)
        elif "footer" not in self.open:
            shown.stray.append(data)
