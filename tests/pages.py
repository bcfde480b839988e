"""Reads a page as a browser would, and says what no page of ours may do; a real browser for those who have one."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

VOID = {"meta", "br", "link", "img", "input", "hr"}
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


class Page(HTMLParser):
    """Reads a page as a browser would and keeps what the tests ask about; unbalanced tags fail."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(attrs) == len(dict(attrs)), f"attribute twice in {tag}"
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


def assert_self_contained(page: str) -> Page:
    """Well formed, loads nothing, runs nothing, and its ids are unique."""
    page.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", page)
    parsed = Page(page)
    allowed = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "header",
        "footer",
        "section",
        "figure",
    }
    allowed |= {
        "h1",
        "h2",
        "h3",
        "p",
        "div",
        "span",
        "b",
        "br",
        "ul",
        "li",
        "dl",
        "dt",
        "dd",
        "pre",
        "details",
    }
    allowed |= {"summary", "table", "thead", "tbody", "tr", "th", "td", "figcaption"}
    allowed |= {"svg", "g", "path", "use", "defs", "text", "tspan", "clippath", "rect", "line", "polyline"}
    for tag, attributes in parsed.tags:
        assert tag in allowed, tag
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in {"src", "srcset", "action", "data"}, (tag, name)
            if name == "href":
                assert tag == "use" and value and value.startswith("#") and value[1:] in parsed.ids
            for target in re.findall(r"url\(([^)]*)\)", value or ""):
                assert target.startswith("#") and target[1:] in parsed.ids
    assert len(parsed.ids) == len(set(parsed.ids))
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style and "url(" not in style[1] and "@import" not in style[1]
    assert page.count("<style") == 1
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)
    used = set(re.findall(r"var\((--[\w-]+)\)", page))
    assert used <= set(re.findall(r"(--[\w-]+):", style[1]))
    return parsed


@contextmanager
def browser() -> Iterator[Any]:
    """Debian's Chromium, headless; skips the test where it or playwright is absent."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="this test needs playwright")
    binary = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
    if binary is None:
        pytest.skip("this test needs chromium (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=binary, args=list(QUIET))
        yield running
        running.close()


def assert_opens(running: Any, path: Path) -> None:
    """In light and dark, wide and narrow: no message on the console, no request but the file, nothing that makes the
    page wider than the screen."""
    for width, scheme in ((1200, "light"), (1200, "dark"), (380, "light")):
        context = running.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        opened = context.new_page()
        heard: list[str] = []
        asked: list[str] = []
        opened.on("console", lambda message, heard=heard: heard.append(message.text))
        opened.on("pageerror", lambda error, heard=heard: heard.append(str(error)))
        opened.on("dialog", lambda dialog, heard=heard: (heard.append("a dialog"), dialog.dismiss()))
        opened.on("request", lambda request, asked=asked: asked.append(request.url))
        opened.goto(path.as_uri())
        assert heard == [] and asked == [path.as_uri()]
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        context.close()
