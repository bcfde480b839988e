"""A search endpoint of the user's: what it is asked, what it may answer, where its key goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.episodes.evidence.talk import NOTHING, PAGES, Listener
from tests.episodes.evidence.web import Engine, as_json, listed
from tests.episodes.server import Page, serving
from whetstone.episodes.evidence import searching
from whetstone.episodes.evidence.searching import Result, SearchEndpoint, SearchKey, query_of
from whetstone.errors import UsageError


@pytest.mark.parametrize(
    ("answer", "reason", "final"),
    [
        (Page(b"<html><body>Search</body></html>", headers={"content-type": "text/html"}), "a web page, not", True),
        (Page(b"nothing", status=429, headers={"retry-after": "0"}), "429: it takes no more questions", True),
        (Page(b"no", status=403), "403: it refuses", True),
        (Page(b"no", status=401), "401: it wants a key", True),
        (Page(b"no", status=404), "404: nothing is there", True),
        (Page(b"no", status=400), "answered 400", False),
        (Page(b"no", status=500), "answered 500", False),
        (as_json({"error": "no results"}), "has no list of results", True),
        (as_json([]), "has no list of results", True),
        (Page(b"[" * 100_000), "something else, not with JSON", True),
        (Page(b"\xff\xfe\x00"), "something else, not with JSON", True),
        (Page(b"x" * 100_000, endless=True), "larger than 4 MiB", True),
        (Page(status=302, headers={"location": "file:///etc/passwd"}), "only http:// and https://", True),
    ],
)
def test_answers_that_are_no_search(answer: Page, reason: str, final: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "PAUSE", 0.0)
    with serving(Engine(lambda query: answer)) as (address, _), pytest.raises(searching.Unavailable) as failure:
        SearchEndpoint(f"{address}/search").search("tides")
    assert reason in str(failure.value) and failure.value.final is final


def test_nobody_at_the_address(whet: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "PAUSE", 0.0)
    with serving({}) as (address, _):
        pass
    assert whet.stances("--evidence-search", address) == NOTHING
    assert "The search was not available" in whet.html


@pytest.mark.parametrize(
    ("shape", "address"),
    [
        (lambda results: {"query": "x", "results": results}, "{}/search?q={{query}}&count=5"),
        (lambda results: {"type": "search", "web": {"type": "search", "results": results}}, "{}/api/{{query}}/1"),
        (lambda results: {"meta": {}, "data": [*results, {"t": 1, "list": ["related"]}]}, "{}/v0?q={{query}}"),
    ],
)
def test_other_shapes_and_templates(shape: Callable[[list[object]], object], address: str) -> None:
    results = [
        {"url": "https://a.example/1#part", "title": "One &amp; <b>only</b>\x1b[31m", "description": "…"},
        {"url": "https://a.example/1", "title": "The same"},
        {"url": "javascript:alert(1)", "title": "Evil"},
        {"url": "https://a.example/\n2"},
        {"url": ["https://a.example/3"]},
        {"url": "https://a.example/4", "title": None},
        {"url": "https://a.example/" + "5" * 3000},
        "https://a.example/6",
        None,
    ]
    pages = Everywhere(as_json(shape(results)))
    with serving(pages) as (base, asked):
        found = SearchEndpoint(address.format(base)).search("a & b/c?")
    assert found == [Result("https://a.example/1", "One & <b>only</b>[31m"), Result("https://a.example/4")]
    assert len(asked) == 1 and "a%20%26%20b%2Fc%3F" in asked[0] and "format=" not in asked[0]


class Everywhere(dict[str, Page]):
    """One page at every path."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._page = page

    def get(self, path: str, default: object = None) -> Any:
        return self._page


def test_where_a_query_goes() -> None:
    for address, there in [
        ("http://127.0.0.1:8888", "http://127.0.0.1:8888/search?q=a+b&format=json"),
        ("http://127.0.0.1:8888/", "http://127.0.0.1:8888/search?q=a+b&format=json"),
        ("http://127.0.0.1/searx/search?language=en", "http://127.0.0.1/searx/search?language=en&q=a+b&format=json"),
        ("https://x.example/?s={query}", "https://x.example/?s=a%20b"),
    ]:
        assert SearchEndpoint(address).address_for("a b").replace("%20", "+") == there.replace("%20", "+")


@pytest.mark.parametrize(
    ("claim", "query"),
    [
        ("The stream runs at 3.6 metres per second!", "The stream runs at 3.6 metres per second"),
        ('!!g :de site:evil.example -not <script> "quoted words"', "g de site evil.example not script quoted words"),
        ("It cost $4.50 in 2014, i.e. 12% (or £3)", "It cost $4.50 in 2014 i.e 12% or £3"),
        ("Müller’s “Straße” – 東京 ist\x1b[2J groß", "Müller’s Straße 東京 ist 2J groß"),
        ("word " * 100, " ".join(["word"] * 60)),
        ("?!", ""),
    ],
)
def test_only_a_claims_words_are_asked(claim: str, query: str) -> None:
    assert query_of(claim) == query


def test_a_key_goes_to_the_endpoint_in_its_header_and_nowhere_else(
    whet: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SearchKey("sesame-open", "x").header == {"Authorization": "Bearer sesame-open"}
    assert SearchKey("X-Subscription-Token: sesame-open\n", "x").header == {"X-Subscription-Token": "sesame-open"}
    assert SearchKey("Authorization: Bot sesame-open", "x").header == {"Authorization": "Bot sesame-open"}
    file = tmp_path / "key"
    file.write_text("sesame-open\n")
    sent: list[str] = []
    with serving(PAGES, seen=sent.append) as (pages, _):
        engine = Engine(lambda query: listed(pages, PAGES))
        with serving(engine, seen=sent.append) as (address, _):
            ran = whet.listen("--evidence-search", f"{address}/search", "--evidence-search-key-file", file)
    assert ran.code == 0 and sorted(sent) == ["", "", *["Bearer sesame-open"] * 3]
    everything = b"".join(path.read_bytes() for path in [*whet.out.iterdir(), *(tmp_path / "library").iterdir()])
    assert b"sesame" not in everything and "sesame" not in ran.err + ran.out
    monkeypatch.setenv("WHETSTONE_SEARCH_KEY", "two words")
    for wrong, reason in [
        (("--evidence-search", "https://x.example"), "holds no key"),
        (("--evidence-search", "https://x.example", "--evidence-search-key-file", tmp_path / "no"), "cannot be read"),
        (("--evidence-search", "http://x.example", "--evidence-search-key-file", file), "in the clear"),
        (("--evidence-search-key-file", file), "needs --evidence-search"),
    ]:
        ran = whet.listen(*wrong)
        assert ran.code == 2 and reason in ran.complaint and "two words" not in ran.err


@pytest.mark.parametrize(
    "address",
    [
        "searx",
        "ftp://x/y",
        "http://",
        "http://[::1",
        "http://xn--/",
        "http://me:secret@x.example/search",
        "https://{query}/",
    ],
)
def test_addresses_that_are_none_are_told_before_anything(address: str, whet: Listener) -> None:
    ran = whet.listen("--evidence-search", address)
    assert ran.code == 2 and ran.complaint and "secret" not in ran.err and not whet.out.exists()
    with pytest.raises(UsageError):
        SearchEndpoint(address)
