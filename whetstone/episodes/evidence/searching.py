"""A search endpoint that the user names: a claim's words go out, addresses of pages come back as JSON.

Its form is SearXNG's (https://docs.searxng.org/dev/search_api.html): GET ADDRESS?q=WORDS&format=json answers with an
object whose `results` each have a `url`. Others are taken too where their answer lists such objects under `web.results`
(Brave) or `data` (Kagi); `{query}` in the address says where the words go.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from whetstone.engine.remote.credentials import ApiKey
from whetstone.engine.remote.endpoint import is_loopback
from whetstone.episodes.fetching import Answered, fetch, is_address
from whetstone.episodes.formats.reading import cleaned, unescaped
from whetstone.errors import UsageError, WorkFailed

VARIABLE = "WHETSTONE_SEARCH_KEY"
HOLE = "{query}"
LONGEST_QUERY = 300  # characters
LARGEST = 4 << 20  # bytes of an answer
SECONDS = 20.0  # for an answer
ATTEMPTS = 2
PAUSE, LONGEST_PAUSE = 1.0, 10.0  # seconds before the second attempt, where the endpoint does not say and where it does
_PLACES = (("results",), ("web", "results"), ("data",))
# what a search program would obey is no part of a claim's words: bangs, operators, quotation marks
_WORD = re.compile(r"[^\W_](?:[\w.,'’/–-]*[^\W_])?[%°]?|[$€£][\d.,]*\d")
_LOOKS_LIKE_A_PAGE = re.compile(rb"\s*<")


class Unavailable(WorkFailed):
    """The endpoint did not answer as a search. `final`: asking it other things now is of no use either."""

    def __init__(self, reason: str, final: bool) -> None:
        super().__init__(reason)
        self.final = final


@dataclass(frozen=True)
class Result:
    """A page that a search named. `title` is the search's word for it, "" where it has none."""

    address: str
    title: str = ""


class SearchKey:
    """A key and the header that carries it: a word alone is `Authorization: Bearer WORD`; "Name: word" and
    "Name: Scheme word" say it themselves."""

    _FORM = re.compile(r"(?:([A-Za-z][A-Za-z0-9-]{0,60}):[ \t]*(?:([A-Za-z]{1,20})[ \t]+)?)?(\S+)")

    def __init__(self, text: str, where: str) -> None:
        """Raises UsageError, without the text."""
        found = self._FORM.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"{where} holds no key: it must be one word, or a header as `Name: word`")
        self._name, self._scheme = (found[1], found[2] or "") if found[1] else ("Authorization", "Bearer")
        self._key = ApiKey(found[3], where)

    @classmethod
    def found(cls, file: Path | None) -> SearchKey | None:
        """From a file, else from $WHETSTONE_SEARCH_KEY, None where neither is there. Raises UsageError."""
        if file is None:
            value = os.environ.get(VARIABLE, "")
            return cls(value, f"the variable {VARIABLE}") if value.strip() else None
        try:
            return cls(file.expanduser().read_text(encoding="utf-8"), str(file))
        except (OSError, UnicodeDecodeError) as failure:
            reason = failure.strerror if isinstance(failure, OSError) else "it is no text"
            raise UsageError(f"the key file {file} cannot be read: {reason}") from None

    @property
    def header(self) -> dict[str, str]:
        """The header to send."""
        word = self._key.authorization.removeprefix("Bearer ")
        return {self._name: f"{self._scheme} {word}".strip()}

    def hide(self, text: str) -> str:
        """`text` without the key."""
        return self._key.hide(text)


class SearchEndpoint:
    """Searches at `address`. Raises UsageError for what is no address, one with a password in it, or a key that would
    travel in the clear."""

    def __init__(self, address: str, key: SearchKey | None = None) -> None:
        if not is_address(address):
            raise UsageError(f"a search endpoint is an http:// or https:// address, not {address[:100]!r}")
        try:
            url = httpx.URL(address.replace(HOLE, "x"))
            host = url.host  # decoded, which a made-up one may not stand
        except (httpx.InvalidURL, UnicodeError) as failure:
            raise UsageError(f"the search endpoint is no address: {failure}") from None
        if not host:
            raise UsageError("the search endpoint's address names no host")
        if url.userinfo:
            raise UsageError(f"a password does not belong into an address: put the key into a file or ${VARIABLE}")
        if key is not None and url.scheme != "https" and not is_loopback(str(url)):
            raise UsageError(f"a key is not sent in the clear: {url.host} needs https:// (or no key, see ${VARIABLE})")
        if HOLE in address and HOLE in address.partition("://")[2].partition("/")[0]:
            raise UsageError(f"{HOLE} belongs behind the host's name")
        self.address, self.host, self._key = address, host, key
        self.name = url.netloc.decode()

    def address_for(self, query: str) -> str:
        """Where a query is asked."""
        if HOLE in self.address:
            return self.address.replace(HOLE, quote(query, safe=""))
        url = httpx.URL(self.address)
        told = url.copy_merge_params({"q": query, "format": "json"})
        return str(told.copy_with(path="/search") if url.path == "/" else told)

    def search(self, query: str) -> list[Result]:
        """The pages for a query, the best first, each address once. Raises Unavailable."""
        for attempt in range(ATTEMPTS):
            try:
                headers = {"accept": "application/json", **(self._key.header if self._key else {})}
                found = fetch(self.address_for(query), largest=LARGEST, seconds=SECONDS, headers=headers)
                return _results(found.content)
            except Answered as failure:
                passing = failure.status in (408, 425, 429) or failure.status >= 500
                if not passing or attempt + 1 == ATTEMPTS:
                    final = failure.status not in (400, 414, 422) and failure.status < 500
                    raise Unavailable(self._told(failure.status), final) from None
                time.sleep(min(failure.wait or PAUSE, LONGEST_PAUSE))
            except Unavailable:
                raise
            except (UsageError, WorkFailed) as failure:
                if attempt + 1 == ATTEMPTS:
                    raise Unavailable(self._without_address(str(failure)), True) from None
                time.sleep(PAUSE)
        raise AssertionError("the last attempt returns or raises")

    def _without_address(self, reason: str) -> str:
        """A reason that may stand on a page: no paths, in which keys and claims may be."""
        named = re.sub(r"https?://\S+", self.name, reason)
        return named if self._key is None else self._key.hide(named)

    def _told(self, status: int) -> str:
        reason = {
            401: "it does not accept the key" if self._key else "it wants a key",
            403: "it refuses (SearXNG: `json` must stand under search.formats in settings.yml)",
            404: "nothing is there: is the path right?",
            429: "it takes no more questions now",
        }.get(status, "")
        return f"{self.name} answered {status}" + (f": {reason}" if reason else "")


def query_of(claim: str) -> str:
    """A claim's words as a query, without what a search program would take for an order to it."""
    words = _WORD.findall(cleaned(claim))
    query = " ".join(words)
    return query if len(query) <= LONGEST_QUERY else query[: query.rfind(" ", 0, LONGEST_QUERY)]


def _results(content: bytes) -> list[Result]:
    """What an answer lists. Raises Unavailable."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        what = "a web page" if _LOOKS_LIKE_A_PAGE.match(content) else "something else"
        raise Unavailable(
            f"it answers with {what}, not with JSON (SearXNG: `json` must stand under search.formats in settings.yml)",
            True,
        ) from None
    listed = next((found for place in _PLACES if isinstance(found := _at(told, place), list)), None)
    if listed is None:
        raise Unavailable("its JSON has no list of results", True)
    results: dict[str, Result] = {}
    for each in listed:
        address = each.get("url") if isinstance(each, dict) else None
        if isinstance(address, str) and is_address(address) and len(address) <= 2000 and address.isprintable():
            title = each.get("title")
            shown = " ".join(cleaned(unescaped(title)).split())[:200] if isinstance(title, str) else ""
            results.setdefault(address.partition("#")[0], Result(address.partition("#")[0], shown))
    return list(results.values())


def _at(told: Any, place: tuple[str, ...]) -> Any:
    for name in place:
        told = told.get(name) if isinstance(told, dict) else None
    return told
