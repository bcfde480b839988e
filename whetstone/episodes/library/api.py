"""What the browser extension asks: a page's transcript in short, to keep it, and search in the library. JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urldefrag

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from whetstone.episodes.content import Line, Quote
from whetstone.episodes.library.door import API
from whetstone.episodes.library.shelf import Hit, Shelf, Shown, Wanted
from whetstone.episodes.page.clock import clock
from whetstone.errors import UsageError

HITS = 20
T = TypeVar("T", bound=BaseModel)


class SummaryRequest(BaseModel):
    """`url`: the page's address. `text`: the transcript that was found on it, "" for none."""

    model_config = ConfigDict(extra="forbid")
    url: str = Field("", max_length=4000)
    title: str = Field("", max_length=1000)
    text: str = Field("", max_length=4_000_000)


class SearchRequest(BaseModel):
    """`episode` (an id) or `text` (a transcript that is not in the library): where to look; else everywhere."""

    model_config = ConfigDict(extra="forbid")
    query: str = Field(min_length=1, max_length=1000)
    episode: str | None = Field(None, max_length=200)


def is_api(request: Request) -> bool:
    """Whether the answer must be JSON."""
    return request.url.path.removeprefix(str(request.scope.get("root_path", ""))).startswith(API)


def summary_request(body: bytes) -> SummaryRequest:
    """Raises UsageError."""
    return _parsed(SummaryRequest, body)


def search_request(body: bytes) -> SearchRequest:
    """Raises UsageError."""
    return _parsed(SearchRequest, body)


def _parsed(model: type[T], body: bytes) -> T:
    try:
        return model.model_validate_json(body)
    except ValidationError as failure:
        first = failure.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"the request is wrong: {where} {first['msg']}".replace(":  ", ": ")) from None


def answer(content: Mapping[str, Any], headers: Mapping[str, str], status: int = 200) -> Response:
    """JSON."""
    body = json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return Response(body, status, dict(headers), "application/json")


def summary(shelf: Shelf, base: str, asked: SummaryRequest) -> dict[str, Any]:
    """The episode of that page if the library has it, else what its transcript says. Raises UsageError."""
    episode = shelf.find(urldefrag(asked.url).url) if asked.url else None
    if episode is None and not asked.text.strip():
        raise UsageError("this page is not in the library, and no transcript was found on it")
    shown = shelf.episode(episode) if episode is not None else shelf.read(asked.text, asked.title, asked.url)
    page = None if episode is None else _page(base, episode)
    content = shown.content
    return {
        "episode": episode,
        "page": page,
        "title": shown.about.title,
        "show": shown.about.show,
        "made_by": content.made_by,
        "words": len(shown.transcript.words),
        "paragraph": [_line(line, shown, page) for line in content.paragraph],
        "takeaways": [_line(line, shown, page) for line in content.takeaways],
        "quotes": [_quote(each, shown, page) for each in content.quotes],
        "chapters": [{"title": chapter.title, "at": _at(shown, chapter.segment, page)} for chapter in content.chapters],
    }


def keep(shelf: Shelf, base: str, asked: SummaryRequest) -> dict[str, Any]:
    """Put a page's transcript into the library; the summary of the episode that it is now. Raises UsageError."""
    if not asked.text.strip():
        raise UsageError("no transcript was found on this page")
    if shelf.find(urldefrag(asked.url).url) is None:
        shelf.take(asked.text, asked.title, asked.url)
    return summary(shelf, base, asked)


def search(shelf: Shelf, base: str, asked: SearchRequest) -> dict[str, Any]:
    """The best hits."""
    found = shelf.search(asked.query, Wanted(), HITS, asked.episode)
    return {"hits": [_hit(base, hit) for hit in found]}


def _page(base: str, episode: str) -> str:
    return f"{base}/e/{quote(episode, safe='')}/"


def _hit(base: str, hit: Hit) -> dict[str, Any]:
    page = _page(base, hit.episode)
    return {
        "episode": hit.episode,
        "title": hit.title,
        "show": hit.show,
        "speaker": hit.speaker,
        "text": hit.text,
        "at": {
            "start": hit.start,
            "label": "" if hit.start is None else clock(hit.start),
            "page": f"{page}#s{hit.segment}",
        },
    }


def _at(shown: Shown, segment: int, page: str | None) -> dict[str, Any]:
    start = shown.transcript.start(shown.transcript.segments[segment].first)
    return {
        "start": start,
        "label": "" if start is None else clock(start),
        "page": None if page is None else f"{page}#s{segment}",
    }


def _line(line: Line, shown: Shown, page: str | None) -> dict[str, Any]:
    return {"text": line.text, "at": [_at(shown, segment, page) for segment in line.segments]}


def _quote(quote: Quote, shown: Shown, page: str | None) -> dict[str, Any]:
    segment = next(each.id for each in shown.transcript.segments if each.first <= quote.first < each.end)
    return {
        "text": shown.transcript.text(quote.first, quote.end),
        "speaker": shown.names.get(quote.speaker) or quote.speaker,
        "badges": [str(badge) for badge in quote.badges],
        "at": _at(shown, segment, page),
    }
