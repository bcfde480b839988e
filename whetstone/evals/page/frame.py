"""The frame of a page of results: one self-contained file, no scripts, nothing loaded from elsewhere.

Everything in a report may have been written by a model or a stranger. The templates escape every value,
characters that a terminal or a browser would obey or hide are spelled out, and a content security policy
forbids scripts and loading of any kind.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from whetstone.evals.page.numbers import VERDICT_WORDS, VERDICTS
from whetstone.text import hidden, plain, spelled

Facts = list[tuple[str, str]]

CLIP_CHARACTERS, CLIP_LINES = 280, 7  # of an answer that stand in a table; the rest opens on a click


def fill(template: str, styles: str | None, **values: Any) -> str:
    """A page, UTF-8 safe. Equal arguments give equal bytes.

    template, styles: files below whetstone/ ("sharpen/page.html.j2"); the template extends
    "evals/page/frame.html.j2", the styles follow the frame's own.
    """
    css = _read("evals/page/frame.css") + (_read(styles) if styles else "")
    return _environment().get_template(template).render(css=Markup(css), **values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, finalize=_finalize, auto_reload=False
    )


def _read(name: str) -> str:
    return resources.files("whetstone").joinpath(*name.split("/")).read_text(encoding="utf-8")


def _finalize(value: Any) -> Any:
    """Runs on each {{ value }} before it is escaped; markup that we made ourselves passes."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def figure(name: str, title: str, svg: str | None, caption: str, absent: str, **more: Any) -> dict[str, Any]:
    """What the template's `figure` takes. `svg`: as `figures.drawing` makes it, or None and `absent` is said.

    more: `wide` (both columns), `panels` (several small pictures in one), `alt` (what the picture shows, in words),
    `table` (rows, the first one the head).
    """
    drawn = None if svg is None else Markup(svg)  # our own output: its labels are escaped
    told = {"name": name, "title": title, "svg": drawn, "caption": caption, "absent": absent}
    return told | {"wide": False, "panels": False, "table": None, "alt": title} | more


def visible(text: str) -> Markup:
    """Model text as HTML: escaped, control characters boxed, line ends, tabs and spaces that matter marked.

    Spaces matter at either end, in runs of two and more and beside a line end; a single one between words
    does not.
    """
    if not text:
        return Markup('<span class="ws">(empty)</span>')
    pieces: list[str] = []
    for blank, word in re.findall(r"([ \n\t]+)|([^ \n\t]+)", text):
        if word:
            pieces.append(_word(word))
        elif blank == " " and pieces:
            pieces.append(" ")
        else:
            marked = blank.replace(" ", "·").replace("\t", "⇥\t").replace("\n", "↵\n")
            pieces.append(f'<span class="ws">{marked}</span>')
    if pieces[-1] == " ":
        pieces[-1] = '<span class="ws">·</span>'
    return Markup("".join(pieces))  # every piece was escaped above


def _word(word: str) -> str:
    if word.isascii() and word.isprintable():
        return str(escape(word))
    odd = (hidden(c) or unicodedata.category(c) == "Zs" for c in word)
    pairs = zip(word, odd, strict=True)
    return "".join(f'<span class="ctl">{spelled(c)}</span>' if o else str(escape(c)) for c, o in pairs)


def clipped(value: Any) -> dict[str, Any]:
    """A text for the template's `text`: its beginning, and the whole where that is longer."""
    text = "" if value is None else str(value)
    start = "\n".join(text.split("\n", CLIP_LINES)[:CLIP_LINES])[:CLIP_CHARACTERS]
    if start == text:
        return {"short": visible(text), "full": None, "length": ""}
    return {"short": visible(start) + " …", "full": visible(text), "length": f"{len(text):,}"}


def answer(text: Any, verdict: Any) -> dict[str, Any]:
    """An answer with its verdict for the template's `answer`."""
    said = str(verdict or "not judged")
    return {
        **clipped(text),
        "kind": said if said in VERDICTS else "",  # a class name: only words that we know
        "verdict": VERDICT_WORDS.get(said, said),
    }
