"""A small web for tests: a search engine in SearXNG's form that says what a test tells it, beside pages elsewhere."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.episodes.server import Page

Answer = Callable[[str], Any]


class Engine(dict[str, Page]):
    """The pages of a search engine, for `serving`: /search?q=…&format=json. `answer`: from a query to a list of
    results, or to a whole Page where something else than results is to come."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer
        self.queries: list[str] = []

    def get(self, path: str, default: Any = None) -> Any:
        asked = urlsplit(path)
        if asked.path != "/search":
            return super().get(path, default)
        values = parse_qs(asked.query)
        if set(values) != {"q", "format"} or values["format"] != ["json"]:
            return Page(status=400)
        self.queries.append(values["q"][0])
        found = self.answer(values["q"][0])
        return found if isinstance(found, Page) else as_json({"query": values["q"][0], "results": found})


def as_json(value: Any) -> Page:
    """A page of JSON."""
    return Page(json.dumps(value).encode(), headers={"content-type": "application/json"})


def article(title: str, *paragraphs: str, head: str = "", **headers: str) -> Page:
    """A page of HTML with a menu and a footer around its words."""
    body = "".join(f"<p>{html.escape(each)}</p>" for each in paragraphs)
    text = (
        f"<!doctype html><html><head><title>{html.escape(title)}</title>{head}</head><body><nav><p>Menu of the site</p>"
        f"</nav><main>{body}</main><footer><p>Footer of the site</p></footer></body></html>"
    )
    return Page(text.encode(), headers={"content-type": "text/html; charset=utf-8", **headers})


def listed(address: str, pages: Mapping[str, Page]) -> list[dict[str, str]]:
    """Results that name every page of a server."""
    return [{"url": f"{address}{path}", "title": path.strip("/"), "content": "An excerpt."} for path in pages]
