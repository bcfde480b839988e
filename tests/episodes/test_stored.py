"""The library over a real store: what is put right by hand shows on every page, and every quote stays a quote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.episodes.conversation import conversation, transcript_of
from tests.episodes.conversations import said
from tests.episodes.written import ABOUT, content, segment
from whetstone.episodes.content import About
from whetstone.episodes.gate import Gate
from whetstone.episodes.gate.recheck import recheck
from whetstone.episodes.library.app import library_app
from whetstone.episodes.library.shelf import Reply, UnknownEpisode, Wanted
from whetstone.episodes.library.stored import StoredShelf, keep, kept_content, open_shelf
from whetstone.episodes.search import Search
from whetstone.episodes.store import Store
from whetstone.errors import UsageError

TRANSCRIPT = conversation()
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A library of two shows: the conversation with its page, and an episode that nobody made a page of."""
    found = tmp_path / "library.sqlite"
    with Store(found) as store:
        first = store.add_episode(store.add_show("The Slow Engine"), replace(ABOUT, audio="sound.wav"))
        store.set_transcript(first, TRANSCRIPT)
        keep(store, first, content(TRANSCRIPT))
        about = About("A second one", published="2025-01-02T08:00:00Z", link="https://second.example/1")
        second = store.add_episode(store.add_show("Another show"), about)
        said = "We measured the sand for nine years, and nobody in the whole harbour believed what we found there. "
        store.set_transcript(second, transcript_of([("Speaker 1", said * 3), ("Speaker 2", "Is that so?")]))
        store.add_episode(store.add_show("Another show"), About("Not heard yet"))
        Search(store).index()
    return found


@pytest.fixture
def shelf(path: Path) -> StoredShelf:
    return open_shelf(path)


def client(path: Path) -> TestClient:
    return TestClient(library_app(path), base_url="http://127.0.0.1:8000", follow_redirects=True)


def test_the_list_its_filters_and_what_has_no_transcript_yet(shelf: StoredShelf) -> None:
    entries, count = shelf.episodes(Wanted(), "", 0, 10)
    assert [entry.title for entry in entries] == [ABOUT.title, "A second one"] and count == 2
    assert entries[0].opening.startswith("Tomas Adeyemi spent eleven years")
    for wanted, title in (
        (Wanted(show="Another show"), "A second one"),
        (Wanted(speaker="Speaker 2"), "A second one"),
        (Wanted(until="2025-01-02"), "A second one"),
        (Wanted(since="2026-01-01"), ABOUT.title),
    ):
        assert [entry.title for entry in shelf.episodes(wanted, "", 0, 10)[0]] == [title]
    assert shelf.shows() == ["Another show", "The Slow Engine"] and "Speaker 1" in shelf.speakers()


def test_a_page_is_what_was_kept_and_passes_the_last_look(path: Path, shelf: StoredShelf) -> None:
    shown = shelf.episode("1")
    claims = tuple(replace(claim, dismissed=False) for claim in content(TRANSCRIPT).claims)  # the store says which are
    assert shown.content == replace(content(TRANSCRIPT), claims=claims) and shown.transcript == TRANSCRIPT
    html = client(path).get("/e/2/").text
    assert recheck(html, Gate(shelf.episode("2").transcript)) > 0


def test_an_episode_without_a_page_gets_one_without_a_model(path: Path, shelf: StoredShelf) -> None:
    shown = shelf.episode("2")
    assert shown.content.made_by == "no model" and shown.content.counts.covered == len(shown.transcript.segments)
    with Store(path) as store:
        assert kept_content(store, 2) is not None


def test_a_new_name_shows_everywhere(path: Path) -> None:
    browser = client(path)
    assert browser.post("/e/1/speakers", content="name:Tomas+Adeyemi=T.+Adeyemi", headers=FORM).status_code == 200
    for address in ("/e/1/", "/search?q=gearbox", "/?speaker=T.+Adeyemi", "/e/1/episode.md"):
        assert "T. Adeyemi" in browser.get(address).text, address
    shown = open_shelf(path).episode("1")
    assert {quote.speaker for quote in shown.content.quotes} == {"T. Adeyemi"}
    assert "nobody is called" in browser.post("/e/1/speakers", content="name:Nobody=X", headers=FORM).text
    browser.post("/e/1/speakers", content="name:Tomas+Adeyemi=", headers=FORM)
    assert "T. Adeyemi" not in browser.get("/e/1/").text.split("<main", 1)[1]


def test_a_segment_given_to_somebody_else_takes_the_name_off_a_quote(path: Path, shelf: StoredShelf) -> None:
    with Store(path) as store:
        store.name_segment(1, segment(TRANSCRIPT, "We had not asked"), "Agnes Rourke")
    quotes = {quote.first: quote.speaker for quote in shelf.episode("1").content.quotes}
    across = content(TRANSCRIPT).quotes[2]
    assert quotes.pop(across.first) == "" and set(quotes.values()) == {"Tomas Adeyemi"}


def test_names_that_no_page_can_show_change_nothing(shelf: StoredShelf) -> None:
    for name in ("x" * 201, "a\x1bb", "\u202egnp"):
        with pytest.raises(UsageError, match="one line"):
            shelf.rename("1", {"Mara Voss": "M. Voss", "Tomas Adeyemi": name})
    assert shelf.voices("1")[1] == {}


def test_a_dismissal_is_kept_and_taken_back(path: Path, shelf: StoredShelf) -> None:
    shelf.dismiss("1", "c1", True)
    assert [claim.id for claim in open_shelf(path).episode("1").content.claims if claim.dismissed] == ["c1"]
    shelf.dismiss("1", "c1", False)
    assert not any(claim.dismissed for claim in shelf.episode("1").content.claims)
    with pytest.raises(UsageError, match="no such claim"):
        shelf.dismiss("1", "c9", True)


def test_a_page_of_the_web_is_taken_in_and_found_by_its_address(shelf: StoredShelf) -> None:
    text = "Ann: The lighthouse keeper kept bees for the whole of that winter.\nBob: And nobody knew?"
    number = shelf.take(text, "A talk", "https://example.org/talk#t=3")
    assert shelf.find("http://example.org/talk/") == number == shelf.take(text, "A talk", "https://example.org/talk")
    assert shelf.episode(number).about.show == "example.org"
    assert shelf.search("lighthouse keeper", Wanted(), 5)[0].episode == number
    for address in ("", "chrome://settings", "file:///etc/passwd", "javascript:alert(1)"):
        with pytest.raises(UsageError, match="pages of the web"):
            shelf.take(text, "A talk", address)
    with pytest.raises(UsageError):
        shelf.take(" ", "A talk", "https://example.org/other")


def test_an_answer_says_more_of_the_question_than_one_word_twice(path: Path) -> None:
    with Store(path) as store:
        number = store.add_episode(store.add_show("Jobs"), About("Work", guid="w"))
        store.set_transcript(number, said(("Ann", "Always open to new interest and new companies."), ("Bob", "Right.")))
    lines = open_shelf(path).ask("What does the new turbine weigh?", Wanted()).lines
    assert "The new turbine drives its generator directly" in lines[0][0]


def test_search_and_questions_lead_to_what_was_said(shelf: StoredShelf) -> None:
    hits = shelf.search("gearbox", Wanted(), 10)
    assert hits[0].episode == "1" and "gearbox" in hits[0].text.lower()
    assert hits[0].text[slice(*hits[0].marks[0])].lower() == "gearbox"
    assert {hit.episode for hit in shelf.search("sand", Wanted(show="Another show"), 10)} == {"2"}
    assert shelf.search("sand", Wanted(show="Unknown"), 10) == [] and shelf.ask("sand", Wanted("Unknown")).lines == ()
    assert {hit.episode for hit in shelf.search("sand", Wanted(), 10, "2")} == {"2"}
    reply = shelf.ask("What did a gearbox under water do?", Wanted())
    assert reply.made_by == "no model" and all(line == hits[0].text for line, hits in reply.lines)


def test_an_answer_may_be_composed_from_the_passages_that_were_found(path: Path) -> None:
    shelf = open_shelf(path, lambda question, hits: Reply(((f"About {question}", tuple(hits[:1])),), "a model"))
    assert shelf.ask("the gearbox", Wanted()).made_by == "a model"
    assert shelf.ask("", Wanted()).lines == ()


def test_an_episode_is_found_by_its_addresses(shelf: StoredShelf) -> None:
    assert shelf.find("http://slow-engine.example/41/#t=3") == "1" and shelf.find("https://second.example/1") == "2"
    assert shelf.find("") is None and shelf.find("https://slow-engine.example/") is None


def test_only_sound_that_lies_there_is_given_out(path: Path, shelf: StoredShelf) -> None:
    assert shelf.audio("1") is None
    (path.parent / "sound.wav").write_bytes(b"RIFF")
    assert shelf.audio("1") == path.parent / "sound.wav"
    with Store(path) as store:
        for audio in ("/etc/passwd", "library.sqlite", "https://a.example/x.mp3"):
            store.add_episode(1, replace(ABOUT, audio=audio))
            assert shelf.audio("1") is None, audio


def test_a_transcript_from_a_page_is_read_and_not_kept(path: Path, shelf: StoredShelf) -> None:
    before = shelf.episodes(Wanted(), "", 0, 10)
    turns = "Ada: We lost the boat in the second winter.\nBen: How?\n"
    shown = shelf.read(turns, "On a page", "https://page.example")
    assert shown.transcript.segments[0].speaker == "Ada" and shown.about.title == "On a page"
    assert shelf.episodes(Wanted(), "", 0, 10) == before
    with pytest.raises(UsageError):
        shelf.read(" ", "", "")


def test_what_is_not_there(path: Path, shelf: StoredShelf, tmp_path: Path) -> None:
    for episode in ("99", "x", "-1", "1" * 30, "٣", "3"):  # the third has no transcript yet
        with pytest.raises(UnknownEpisode):
            shelf.episode(episode)
    with pytest.raises(UsageError, match="there is no library"):
        open_shelf(tmp_path / "none.sqlite")
    assert client(path).get("/e/99/").status_code == 404
