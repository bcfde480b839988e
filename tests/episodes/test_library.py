"""The library's routes: what they show, what they change, and whom they turn away."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from tests.episodes.conversation import conversation, transcript_of
from tests.episodes.conversations import said
from tests.episodes.memory import MemoryShelf
from tests.episodes.written import ABOUT, content, segment
from tests.pages import Page
from whetstone.episodes.content import About, Content
from whetstone.episodes.library import door
from whetstone.episodes.library.app import app_of
from whetstone.episodes.library.found import marked, samples
from whetstone.episodes.library.sentences import AROUND, MOST, corrections, stretch
from whetstone.episodes.library.shelf import Shown

TRANSCRIPT = conversation()
FORM = {"content-type": "application/x-www-form-urlencoded"}
HOSTILE = "\"'><script>alert(1)</script>\x1b"


@pytest.fixture
def shelf(tmp_path: Path) -> MemoryShelf:
    sound = tmp_path / "sound.wav"
    sound.write_bytes(bytes(range(256)) * 4)
    odd = transcript_of([(HOSTILE, f"{HOSTILE} the sand was here as well."), ("B", "Yes.")])
    return MemoryShelf(
        {
            "tide": Shown(ABOUT, TRANSCRIPT, content(TRANSCRIPT), {}, "1"),
            "a b?c": Shown(About(HOSTILE, HOSTILE, "2026-01-05"), odd, Content(), {}, "1"),
        },
        {"tide": sound},
    )


@pytest.fixture
def client(shelf: MemoryShelf) -> TestClient:
    app = Starlette(routes=[Mount("/episodes", app_of(shelf))])
    return TestClient(app, base_url="http://127.0.0.1:8000/episodes/", follow_redirects=False)


def get(client: TestClient, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    return str(response.text)


def checked(html: str) -> Page:
    """Well formed, no script but the page's own, nothing inline."""
    parsed = Page(html)
    for tag, attributes in parsed.tags:
        assert tag != "script" or attributes.get("src") == "page.js"
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    return parsed


def test_the_list_and_its_filters(client: TestClient) -> None:
    parsed = checked(get(client, "./"))
    assert "2 episodes" in parsed.words and "The tide keeps its appointments" in parsed.words
    assert parsed.words.index("The tide") < parsed.words.index("5 January 2026")
    for query, count in (
        ("show=The+Slow+Engine", 1),
        ("speaker=B", 1),
        ("since=2026-02-01", 1),
        ("until=2026-02-01", 1),
        ("since=2027-01-01", 0),
        ("title=tide", 1),
    ):
        assert f"{count} episode" in checked(get(client, f"./?{query}")).words, query


def test_a_thousand_episodes_come_in_pages() -> None:
    one = Shown(About("x"), transcript_of([("A", "Hello.")]), Content(), {})
    shelf = MemoryShelf({f"e{n}": replace(one, about=About(f"Number {n}", "Show")) for n in range(1000)})
    client = TestClient(app_of(shelf), base_url="http://localhost")
    html = get(client, "/?show=Show&page=2")
    assert html.count("<h2") == 50 and "2 of 20" in html
    after = re.search(r'href="([^"]*)" rel="next"', html)
    assert after is not None and "3 of 20" in get(client, after[1].replace("&amp;", "&"))
    assert len(html) < 60_000
    for odd in ("0", "-1", "x", "99999999999", "21"):
        get(client, f"/?page={odd}")


def test_search_hits_lead_to_their_seconds(client: TestClient) -> None:
    html = get(client, "search?q=sand")
    checked(html)
    wanted = segment(TRANSCRIPT, "We did not test")
    assert f'href="/episodes/e/tide/#s{wanted}">1:41</a>' in html
    assert "<mark>sand</mark>" in html and "in 2 episodes" in Page(html).words
    assert "Nothing was found" in get(client, "search?q=zebra")
    assert "in 1 episode" in Page(get(client, "search?q=sand&show=The+Slow+Engine")).words
    assert (
        "Mara Voss" not in Page(get(client, "search?q=sand&speaker=Tomas+Adeyemi")).words.split(" passages in ", 1)[1]
    )


def test_an_episode_has_its_page_its_files_and_its_sound(client: TestClient) -> None:
    html = get(client, "e/tide/")
    checked(html)
    assert 'src="./audio"' in html and "Search all episodes" in html
    for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript"), ("transcript.vtt", "text/vtt")):
        assert client.get(f"e/tide/{name}").headers["content-type"].startswith(kind)
    part = client.get("e/tide/audio", headers={"range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == bytes(range(10, 20))
    assert part.headers["content-type"].startswith("audio/")
    checked(get(client, "e/a%20b%3Fc/"))
    for path in ("e/none/", "e/tide/nothing.html", "nothing"):
        assert "That did not work" in get(client, path, 404), path


def test_names_are_given_by_hand(client: TestClient, shelf: MemoryShelf) -> None:
    html = get(client, "e/tide/speakers")
    checked(html)
    assert html.count("<fieldset>") == 2 and html.count('class="time"') == 6
    sent = client.post("e/tide/speakers", content="name:Mara+Voss=M.+V.&name:Tomas+Adeyemi=", headers=FORM)
    assert (sent.status_code, sent.headers["location"]) == (303, "/episodes/e/tide/")
    assert shelf.shown["tide"].names == {"Mara Voss": "M. V."}
    assert '<p class="who" dir="auto">M. V. <a' in get(client, "e/tide/")
    assert "nobody is called" in client.post("e/tide/speakers", content="name:Who=X", headers=FORM).text
    client.post("e/tide/speakers", content="name:Mara+Voss=", headers=FORM)
    assert shelf.shown["tide"].names == {}


def test_who_says_a_single_sentence_is_put_right(client: TestClient, shelf: MemoryShelf) -> None:
    page = get(client, "e/tide/")
    links = re.findall(r'href="(/episodes/e/tide/sentences\?at=(\d+))"', page)
    assert len(links) == page.count('<div class="turn') and "Wrong speaker?" in page
    at = int(links[9][1])
    html = get(client, f"e/tide/sentences?at={at}")
    checked(html)
    assert html.count("said:") >= 5 and f'name="said:{at}"' in html and 'class="around"' in html
    answer = client.post("e/tide/sentences", content=f"at={at}&said%3A{at}=Agnes+Rourke", headers=FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/episodes/e/tide/#s{at}")
    assert '<p class="who" dir="auto">Agnes Rourke <a' in get(client, "e/tide/")
    assert "put right by hand" in get(client, f"e/tide/sentences?at={at}")
    client.post("e/tide/sentences", content=f"at={at}&said%3A{at}=", headers=FORM)
    assert "Agnes Rourke" not in re.findall(r'class="who"[^>]*>([^<]*) <', get(client, "e/tide/"))
    assert "no sentence 99999" in get(client, "e/tide/sentences?at=99999", 404)


def test_a_whole_turn_is_given_to_somebody_and_its_surroundings_are_not() -> None:
    form = {"turn": "3-5", "all": "Eve", "said:2": "", "said:3": "Bob", "said:4": "", "said:5": "Ann", "said:x": "y"}
    assert corrections(form) == {2: "", 3: "Eve", 4: "Eve", 5: "Ann"}
    assert corrections(form | {"all": " "})[3] == "Bob"


@pytest.mark.parametrize("at", [0, 1, 79, 80, 81, 199, 200])
def test_links_lead_through_every_sentence_of_a_long_turn(at: int) -> None:
    talk = said(("Ann", "So it is. " * 200), ("Bob", "Yes."))
    found = stretch(talk, at)
    assert found.first <= at < found.end and found.turn_first <= at < found.turn_end
    assert found.end - found.first <= MOST + 2 * AROUND
    if found.turn_end < len(talk.segments):
        assert stretch(talk, found.turn_end).turn_first == found.turn_end


def test_a_claim_is_dismissed_and_shown_again(client: TestClient) -> None:
    sent = client.post("e/tide/dismiss", content="claim=c1&dismissed=yes", headers=FORM)
    assert (sent.status_code, sent.headers["location"]) == (303, "/episodes/e/tide/#claims")
    assert "2 dismissed by hand" in get(client, "e/tide/")
    client.post("e/tide/dismiss", content="claim=c1&dismissed=no", headers=FORM)
    assert "1 dismissed by hand" in get(client, "e/tide/")
    assert client.post("e/tide/dismiss", content="claim=c9&dismissed=yes", headers=FORM).status_code == 400


def test_a_question_is_answered_with_its_seconds(client: TestClient) -> None:
    assert "Ask" in get(client, "ask")
    sent = client.post("ask", content="q=Where+did+the+instruments+go%3F", headers=FORM)
    assert sent.status_code == 200
    checked(sent.text)
    assert f"/episodes/e/tide/#s{segment(TRANSCRIPT, 'In 2009 I')}" in sent.text and "No model was asked" in sent.text
    assert "do not say" in client.post("ask", content="q=zebras", headers=FORM).text


def test_strangers_words_stay_words(client: TestClient) -> None:
    for path in (
        "./",
        "search?q=sand",
        "./?title=%22%3E%3Cscript%3E",
        "search?q=%22%3E%3Cscript%3E&show=%22%3E%3Cb%3E",
    ):
        html = get(client, path)
        checked(html)
        assert "<script" not in html and "\x1b" not in html
    assert "<script" not in client.post("ask", content="q=%3Cscript%3E+sand", headers=FORM).text


def test_a_defect_is_a_page_without_a_trace(shelf: MemoryShelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(shelf, "search", broken)
    client = TestClient(app_of(shelf), base_url="http://localhost", raise_server_exceptions=False)
    response = client.get("/search?q=x")
    assert response.status_code == 500 and "went wrong" in response.text and "secret" not in response.text
    assert "went wrong" in client.post("/api/search", json={"query": "x"}).json()["error"]


SAFE = {"host": "127.0.0.1:8000"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"origin": "http://127.0.0.1:8000"}, 303),
        ({"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}, 303),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9000"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": door.EXTENSION}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example", "origin": "http://evil.example"}, 403),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, 303),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
    ],
)
def test_only_the_librarys_own_pages_may_send_forms(
    client: TestClient, shelf: MemoryShelf, headers: dict[str, str], status: int
) -> None:
    before = shelf.shown["tide"]
    sent = client.post("e/tide/dismiss", content="claim=c1&dismissed=yes", headers=SAFE | FORM | headers)
    assert sent.status_code == status
    assert (shelf.shown["tide"] is before) == (status != 303)


def test_other_sites_read_nothing(client: TestClient) -> None:
    assert client.get("search?q=sand", headers={"origin": "https://evil.example"}).status_code == 403
    inside = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client.get("search?q=sand", headers=inside).status_code == 403
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("search?q=sand", headers=link).status_code == 200
    assert client.get("./", headers={"host": "rebound.example"}).status_code == 403
    assert client.request("PUT", "./").status_code == 405 and client.request("DELETE", "e/tide/").status_code == 405
    headers = client.get("./").headers
    assert headers["x-frame-options"] == "DENY" and headers["cross-origin-resource-policy"] == "same-origin"


def test_a_body_has_a_limit(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BODY_BYTES", 1000)
    assert client.post("ask", content=b"q=" + b"x" * 2000, headers=FORM).status_code == 413
    pieces = iter([b"q=", b"x" * 900, b"x" * 900])
    assert client.post("ask", content=pieces, headers=FORM).status_code == 413
    assert client.post("ask", content=b"q=\xff\xfe", headers=FORM).status_code in (200, 400)
    assert client.post("ask", content=b"a&" * 490, headers=FORM).status_code == 200


def api(client: TestClient, route: str, status: int = 200, **asked: Any) -> dict[str, Any]:
    response = client.post(f"api/{route}", json=asked, headers={"origin": door.EXTENSION})
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    return dict(response.json())


def test_the_extension_gets_a_page_that_the_library_knows(client: TestClient) -> None:
    told = api(client, "summary", url=ABOUT.link + "#t=10", title="x", text="")
    written = content(TRANSCRIPT)
    assert told["episode"] == "tide" and told["page"] == "/episodes/e/tide/"
    assert [line["text"] for line in told["paragraph"]] == [line.text for line in written.paragraph]
    cited = written.paragraph[0].segments[0]
    start = TRANSCRIPT.start(TRANSCRIPT.segments[cited].first)
    assert told["paragraph"][0]["at"] == [{"start": start, "label": "0:24", "page": f"/episodes/e/tide/#s{cited}"}]
    assert told["quotes"][0]["text"] == TRANSCRIPT.text(written.quotes[0].first, written.quotes[0].end)
    assert told["quotes"][0]["speaker"] == "Tomas Adeyemi" and len(told["chapters"]) == 7


def test_the_extension_gets_a_transcript_read_that_is_not_in_the_library(
    client: TestClient, shelf: MemoryShelf
) -> None:
    told = api(client, "summary", url="https://else.example/", title="Else", text="Ada: Hello there.\nBen: Yes.\n")
    assert told["episode"] is None and told["page"] is None and told["title"] == "Else"
    assert told["paragraph"] == [{"text": "Hello there.", "at": [{"start": 0.5, "label": "0:00", "page": None}]}]
    assert len(shelf.shown) == 2
    assert "no transcript" in api(client, "summary", 400, url="https://else.example/")["error"]
    assert "no transcript" in api(client, "summary", 400, url="", text="blah")["error"]


def test_a_page_is_kept_once_and_only_with_a_transcript(client: TestClient, shelf: MemoryShelf) -> None:
    asked = {"url": "https://example.org/talk#t=3", "title": "A talk", "text": "Ann: Sand is everywhere.\nBob: It is."}
    told = api(client, "keep", **asked)
    assert told["title"] == "A talk" and len(shelf.shown) == 3
    assert "no transcript" in api(client, "keep", 400, **(asked | {"text": " "}))["error"]


def test_the_extension_searches_everywhere_or_in_one_episode(client: TestClient) -> None:
    hits = api(client, "search", query="sand")["hits"]
    assert {hit["episode"] for hit in hits} == {"tide", "a b?c"}
    assert hits[0]["at"]["label"] == "1:41" and hits[0]["at"]["page"].startswith("/episodes/e/tide/#s")
    assert {hit["episode"] for hit in api(client, "search", query="sand", episode="tide")["hits"]} == {"tide"}


def test_what_the_api_refuses(client: TestClient) -> None:
    for asked in ({}, {"query": ""}, {"query": "x" * 2000}, {"query": "x", "more": 1}, {"query": 3}):
        assert "the request is wrong" in api(client, "search", 400, **asked)["error"]
    for headers in ({}, {"content-type": "text/plain"}, FORM):
        sent = client.post("api/search", content='{"query": "x"}', headers=headers)
        assert sent.status_code == 415 and "JSON" in sent.json()["error"]
    other = "chrome-extension://abcdefghijklmnopabcdefghijklmnop"
    assert client.post("api/search", json={"query": "x"}, headers={"origin": other}).status_code == 403
    assert client.post("api/search", json={"query": "x"}, headers={"origin": "https://a.example"}).status_code == 403
    assert client.get("api/search").status_code == 405
    assert client.post("api/none", json={}).json() == {"error": "Not Found"}


def test_what_was_found_is_marked_and_all_of_it_is_escaped() -> None:
    assert marked("a <b> & c", [(2, 5), (8, 9)]) == "a <mark>&lt;b&gt;</mark> &amp; <mark>c</mark>"
    assert marked("", []) == "" and marked("\x1bx", [(0, 1)]) == "<mark>\\x1b</mark>x"


def test_samples_come_from_all_over_and_say_something() -> None:
    found = samples(TRANSCRIPT)
    assert set(found) == {"Mara Voss", "Tomas Adeyemi"}
    for speaker, ids in found.items():
        assert ids == sorted(ids) and len(ids) == 3
        for each in ids:
            assert TRANSCRIPT.segments[each].speaker == speaker
            assert TRANSCRIPT.segments[each].end - TRANSCRIPT.segments[each].first > 8
