"""Files, folders and feeds come into the library, once."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from tests.episodes.server import Page, serving
from whetstone.episodes import ingest
from whetstone.episodes.content import About, Chapter
from whetstone.episodes.store import Store
from whetstone.episodes.transcript import Origin, Timing
from whetstone.errors import UsageError, WorkFailed

VTT = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann>Hello there.\n\n00:02.000 --> 00:03.000\n<v Bob>Hi.\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "library.db")


def test_a_file_and_its_audio(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "My talks"
    folder.mkdir()
    (folder / "one.vtt").write_text(VTT)
    (folder / "one.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nAnother text\n")
    (folder / "one.MP3").write_bytes(b"ID3" + bytes(1000))
    report = ingest.file(store, folder / "one.MP3")
    [episode] = report.new
    found = store.episode(episode)
    assert (found.about.title, found.about.show, found.words) == ("one", "", 3)
    assert found.about.audio == str((folder / "one.MP3").resolve()) and found.source.endswith("one.vtt")
    assert found.audio_sha256 == hashlib.sha256((folder / "one.MP3").read_bytes()).hexdigest()
    assert ingest.file(store, folder / "one.vtt").same == [episode]
    assert ingest.file(store, folder / "one.srt").new == [episode]  # the one that is named, not the better one
    transcript = store.transcript(episode)
    assert transcript is not None and transcript.words[0].text == "Another"
    (folder / "two.txt").write_text("Ann: Words.\n\nBob: More.\n\nAnn: Bye.")
    other = ingest.file(store, folder / "two.txt", show="Else", about=About("Two", published="2024-01-01")).new[0]
    assert store.episode(other).about.show == "Else" and store.episode(other).timing == Timing.NONE
    for path in (folder, folder / "absent.vtt"):
        with pytest.raises(UsageError, match="no file"):
            ingest.file(store, path)


def test_a_folder(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "show"
    (folder / "2024").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.vtt").write_text(VTT)
    (folder / "2024" / "a.vtt").write_text(VTT)
    (folder / "a.json").write_text(json.dumps({"segments": [{"text": "Hi", "start": 1, "no_speech_prob": 0.1}]}))
    (folder / "b.html").write_text("<title>A <b>page</title><p>Ann: Words.</p>")
    (folder / "bad.vtt").write_bytes(b"WEBVTT\n\n")
    (folder / "fake.srt").write_bytes(b"%PDF-1.7")
    (folder / "sound.ogg").write_bytes(b"OggS" + bytes(100))
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "around").symlink_to(folder)
    (folder / "README.md").write_text("About these files.")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\x1b[2J.vtt")).write_text(VTT)
    named: list[str] = []
    report = ingest.folder(store, folder, progress=named.append)
    assert named[:6] == ["2024/a", "a", "b", "bad", "fake", "sound"]
    assert [store.episode(each).about.title for each in report.new] == ["a", "a", "A <b>page"]
    assert [store.episode(each).about.title for each in report.untranscribed] == ["sound"]
    assert "rename it" in report.failures.pop() and report.failures == [
        "bad.vtt holds no words",
        "fake.srt is a PDF: save its text as a .txt file",
    ]
    assert store.episode(report.new[1]).origin == Origin.MACHINE
    again = ingest.folder(store, folder)
    assert again.same == report.new and not again.new and len(store.episodes()) == 4
    (folder / "2024" / "a.vtt").write_text(VTT.replace("there", "everybody"))
    assert ingest.folder(store, folder).new == report.new[:1]
    with pytest.raises(UsageError, match="no folder"):
        ingest.folder(store, folder / "a.json")


FEED = """<rss version="2.0" xmlns:podcast="https://podcastindex.org/namespace/1.0"><channel><title>Show</title>
<language>en</language><podcast:person role="host">Ann</podcast:person>
<item><title>One</title><guid>1</guid><pubDate>Tue, 02 Jan 2024 10:00:00 GMT</pubDate>
 <podcast:transcript url="1.srt" type="application/srt"/>
 <podcast:transcript url="broken.vtt" type="text/vtt"/><podcast:chapters url="1.json"/></item>
<item><title>Two</title><guid>2</guid><pubDate>Wed, 03 Jan 2024 10:00:00 GMT</pubDate>
 <podcast:transcript url="absent.vtt" type="text/vtt"/></item>
<item><title>Three</title><guid>3</guid><podcast:person role="guest">Cy</podcast:person></item>
</channel></rss>"""
SRT = "1\n00:00:00,000 --> 00:00:05,000\nAnn: Hello there.\n\n2\n00:00:05,000 --> 00:00:06,000\nBob: Hi.\n"
PAGES = {
    "/feed": Page(FEED.encode()),
    "/1.srt": Page(SRT.encode()),
    "/broken.vtt": Page(b"\x89PNG"),
    "/1.json": Page(b'{"chapters": [{"startTime": 0, "title": "Begin"}, {"startTime": 5, "title": "Bob"}]}'),
    "/talk.vtt": Page(VTT.encode(), headers={"content-type": "text/vtt"}),
    "/sound": Page(b"ID3" + bytes(100)),
}


def test_a_feed_from_the_web(store: Store) -> None:
    with serving(PAGES) as (address, asked):
        report = ingest.anything(store, f"{address}/feed")
        assert asked == ["/feed", "/absent.vtt", "/1.json", "/broken.vtt", "/1.srt"]  # the newest first
        [one] = report.new
        found, transcript = store.episode(one), store.transcript(one)
        assert found.source == f"{address}/1.srt" and found.about.people == (("Ann", "host"),)
        assert transcript is not None and transcript.language == "en" and transcript.words[-1].speaker == "Bob"
        assert store.chapters(one) == (Chapter("Begin", 0), Chapter("Bob", 1))
        assert [store.episode(each).about.title for each in report.episodes] == ["Two", "One", "Three"]
        assert [store.episode(each).about.title for each in report.untranscribed] == ["Two", "Three"]
        assert store.episode(report.untranscribed[1]).about.people == (("Cy", "guest"),)
        assert [line.split(":")[0] for line in report.failures] == ["Two"] and "picture" in report.notes[0]
        again = ingest.anything(store, f"{address}/feed", only=2)
        assert again.same == [one] and asked[5:] == ["/feed"]  # what is there is not fetched again
        assert len(store.shows()) == 1 and len(store.episodes()) == 3
        other = ingest.anything(store, f"{address}/talk.vtt")
        assert store.episode(other.new[0]).about.title == "talk.vtt"
        for sound in ("/talk.mp3", "/sound"):
            [number] = ingest.anything(store, address + sound, about=About("Talk")).untranscribed
            assert store.episode(number).about.audio == address + sound and store.episode(number).about.title == "Talk"
        assert "/talk.mp3" not in asked
        with pytest.raises(UsageError, match="3 episodes, so there is no number 4"):
            ingest.anything(store, f"{address}/feed", only=4)
        with pytest.raises(WorkFailed, match="answered 404"):
            ingest.anything(store, f"{address}/absent")


def test_a_feed_in_a_folder_needs_no_web(store: Store, tmp_path: Path) -> None:
    (tmp_path / "feed.xml").write_text(FEED)
    (tmp_path / "1.srt").write_text(SRT)
    report = ingest.anything(store, str(tmp_path / "feed.xml"))
    assert len(report.new) == 1 and len(report.untranscribed) == 2
    assert ingest.anything(store, str(tmp_path / "feed.xml")).same == report.new
    (tmp_path / "bomb.xml").write_text(
        "<!DOCTYPE rss [<!ENTITY a 'b'>]><rss><channel><title>&a;</title></channel></rss>"
    )
    with pytest.raises(UsageError, match="entities"):
        ingest.anything(store, str(tmp_path / "bomb.xml"))
