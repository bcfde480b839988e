"""What `whet listen` takes in: every kind of transcript, folders, feeds, and what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.episodes.conversation import interview
from tests.episodes.listen.running import TIDE, VTT, facts, kept_transcript
from tests.episodes.server import Page, serving
from whetstone.episodes.formats import write
from whetstone.episodes.gate import Gate
from whetstone.episodes.gate.recheck import recheck
from whetstone.episodes.store import Store

FEED = """<rss version="2.0" xmlns:podcast="https://podcastindex.org/namespace/1.0">
<channel><title>The Slow Engine</title><language>en</language>
<item><title>Tides</title><guid>1</guid><pubDate>Thu, 12 Mar 2026 06:00:00 GMT</pubDate>
 <enclosure url="{sound}" type="audio/wav" length="1"/>
 <podcast:transcript url="tide.srt" type="application/srt"/><podcast:transcript url="tide.vtt" type="text/vtt"/>
 <podcast:chapters url="chapters.json" type="application/json+chapters"/>
 <podcast:person role="guest">Tomas Adeyemi</podcast:person></item>
<item><title>Nothing</title><guid>2</guid><pubDate>Thu, 05 Mar 2026 06:00:00 GMT</pubDate></item>
<item><title>Old tides</title><guid>3</guid><pubDate>Thu, 26 Feb 2026 06:00:00 GMT</pubDate>
 <podcast:transcript url="absent.vtt" type="text/vtt"/>
 <podcast:transcript url="tide.srt" type="application/srt"/></item>
</channel></rss>"""
CHAPTERS = '{"chapters": [{"startTime": 0, "title": "Hello"}, {"startTime": 200, "title": "Money & <b>power</b>"}]}'


@pytest.mark.parametrize("kind", ["vtt", "srt", "json", "txt", "html"])
def test_a_page_of_every_kind_of_transcript(kind: str, tmp_path: Path, whet: Any) -> None:
    turns = interview()
    if kind == "html":
        body = "".join(f"<cite>{who}:</cite><time>{n}:00</time><p>{text}</p>" for n, (who, text) in enumerate(turns))
        text = f"<html><body>{body}</body></html>"
    elif kind == "txt":
        text = "\n\n".join(f"{who}: {said}" for who, said in turns)
    else:
        text = write(TIDE, kind)
    source, out = tmp_path / f"tide.{kind}", tmp_path / "page"
    source.write_text(text)
    made = facts(whet(source, "--out", out, "--json"))
    assert made["origin"] == "publisher" and made["words"] == len(TIDE.words) and made["made_by"] == "no model"
    assert made["counts"]["covered"] == made["counts"]["segments"] > 100
    assert made["quotes"] >= 5 and made["questions"] >= 5
    html = (out / "index.html").read_text()
    assert recheck(html, Gate(kept_transcript())) == made["quotes"] + made["questions"]
    assert {"Mara Voss", "Tomas Adeyemi"} <= set(html.replace("<", ">").split(">"))


def test_options_may_stand_before_the_file(tide: Path, tmp_path: Path, whet: Any) -> None:
    ran = whet("--out", tmp_path / "page", "--title", "The \x1b[31mtide", tide)
    assert ran.code == 0 and "read 100 % (136 of 136 segments)" in ran.out
    assert "\x1b" not in ran.out and (tmp_path / "page" / "index.html").is_file()


def test_a_folder_gives_a_page_for_each_and_one_that_fails_costs_no_other(tmp_path: Path, whet: Any) -> None:
    folder, out = tmp_path / "in", tmp_path / "in" / "pages"
    (folder / "old").mkdir(parents=True)
    for name in ("tide.vtt", "old/tide.vtt"):
        (folder / name).write_text(VTT)
    (folder / "broken.srt").write_bytes(b"\x89PNG and so on")
    ran = whet(folder, "--out", out, "--json")
    assert ran.code == 1 and "1 of 3 episodes could not be made" in ran.complaint and "broken.srt" in ran.complaint
    pages = [Path(json.loads(line)["page"]) for line in ran.out.splitlines()]
    assert sorted(page.relative_to(out.resolve()).parts[0] for page in pages) == ["tide", "tide-2"]
    again = whet(folder, "--out", out)
    assert again.code == 1 and "1 of 3" in again.complaint, "pages are no episodes, though they lie in the folder"


def test_files_of_one_name_in_folders_of_one_name_are_two_episodes(tmp_path: Path, whet: Any) -> None:
    for place, words in (("a", "Ann: This is what was said here by somebody."), ("b", "Bob: And this over there.")):
        (tmp_path / place / "in").mkdir(parents=True)
        source = tmp_path / place / "in" / "episode.txt"
        source.write_text(words)
        for _ in range(2):
            facts(whet(source, "--out", tmp_path / "page" / place, "--json"))
    listed = json.loads(whet("list", "--json").out)["episodes"]
    assert len(listed) == 2 and sorted(each["words"] for each in listed) == [4, 8]


def test_a_feed_from_the_web(tmp_path: Path, whet: Any) -> None:
    pages = {
        "/feed.xml": Page(FEED.format(sound="sound.wav").encode()),
        "/tide.vtt": Page(VTT.encode()),
        "/tide.srt": Page(write(TIDE, "srt").encode()),
        "/chapters.json": Page(CHAPTERS.encode()),
    }
    out = tmp_path / "page"
    with serving(pages) as (address, asked):
        made = facts(whet(f"{address}/feed.xml", "--out", out, "--json"))
        assert made["title"] == "Tides" and made["chapters"] == 2 and "/sound.wav" not in asked
        html = (out / "index.html").read_text()
        assert "Money &amp; &lt;b&gt;power&lt;/b&gt;" in html and "The Slow Engine" in html
        assert f'src="{address}/sound.wav"' in html, "sound at an address stays there"
        missing = whet(f"{address}/feed.xml", "--episode", 4, "--out", tmp_path / "four")
        assert missing.code == 2 and "3 episodes" in missing.complaint and not (tmp_path / "four").exists()
        whole = whet(f"{address}/feed.xml", "--all", "--out", tmp_path / "all", "--json")
    assert whole.code == 1 and "1 of 3 episodes" in whole.complaint and "'Nothing'" in whole.complaint
    titles = [json.loads(line)["title"] for line in whole.out.splitlines()]
    assert titles == ["Tides", "Old tides"], "a transcript that is absent is not the end where there is another"


def test_a_feed_in_a_file_gives_sound_beside_it_and_no_other(tmp_path: Path, whet: Any) -> None:
    folder = tmp_path / "feed"
    folder.mkdir()
    secret = tmp_path / "secret.wav"
    secret.write_bytes(b"RIFF" + bytes(60))
    for name, content in (("tide.vtt", VTT), ("tide.srt", write(TIDE, "srt")), ("chapters.json", CHAPTERS)):
        (folder / name).write_text(content)
    (folder / "mine.wav").write_bytes(b"RIFF" + bytes(60))
    for place, (sound, shown) in enumerate({"mine.wav": 1, "../secret.wav": 0, str(secret): 0}.items()):
        feed = folder / f"{place}.xml"
        feed.write_text(FEED.format(sound=sound))
        out = tmp_path / f"page{place}"
        assert whet(feed, "--out", out).code == 0
        assert len(list(out.glob("audio.*"))) == shown, sound


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.vtt", b"", "holds no words"),
        ("nothing.vtt", b"WEBVTT\n\n", "holds no words"),
        ("a.pdf", b"%PDF-1.4 x", "is a PDF"),
        ("noise.bin", bytes(range(256)) * 20, "no text"),
        ("other.json", b'{"a": 1}', "no list of segments"),
        ("cut.xml", b"<rss><channel>", "no feed"),
        ("bomb.xml", b'<!DOCTYPE x [<!ENTITY a "b">]><rss><channel><title>&a;</title></channel></rss>', "entities"),
        ("none.xml", b'<rss version="2.0"><channel><title>E</title></channel></rss>', "has no episodes"),
        ("folder", None, "no episodes in"),
    ],
)
def test_sources_that_cannot_be_read(
    name: str, content: bytes | None, said: str, tmp_path: Path, library: Path, whet: Any
) -> None:
    source, out = tmp_path / name, tmp_path / "page"
    if content is None:
        source.mkdir()
    else:
        source.write_bytes(content)
    ran = whet(source, "--out", out)
    assert ran.code == 2 and said in ran.complaint and not out.exists()
    with Store(library) as store:
        assert store.episodes() == []


def test_a_file_belongs_to_no_show_unless_one_is_named(tide: Path, tmp_path: Path, whet: Any) -> None:
    out = tmp_path / "page"
    assert facts(whet(tide, "--out", out, "--json"))["show"] == ""
    assert "<title>tide</title>" in (out / "index.html").read_text()
    assert facts(whet(tide, "--out", out, "--show", "Slow Engine", "--json"))["show"] == "Slow Engine"
    assert "<title>tide · Slow Engine</title>" in (out / "index.html").read_text()
    assert facts(whet(tide.parent, "--out", out, "--json"))["show"] == "in"
    feed = tmp_path / "feed.xml"
    feed.write_text(FEED.format(sound="sound.wav"))
    assert "a feed tells its show itself" in whet(feed, "--out", out, "--show", "Mine").complaint


def test_another_file_of_a_name_does_not_take_the_place_of_one_that_is_gone(
    tide: Path, tmp_path: Path, library: Path, whet: Any
) -> None:
    """Nor is a file that was moved another episode."""
    out = tmp_path / "page"
    first = facts(whet(tide, "--out", out, "--json"))["episode"]
    moved = tmp_path / "elsewhere" / "tide.vtt"
    moved.parent.mkdir()
    tide.rename(moved)
    assert facts(whet(moved, "--out", out, "--json"))["episode"] == first
    moved.unlink()
    tide.write_text("WEBVTT\n\n00:00.000 --> 00:04.000\nAnn: Quite another conversation about soup.\n")
    assert facts(whet(tide, "--out", out, "--json"))["episode"] != first
    with Store(library) as store:
        kept = store.transcript(first)
    assert kept is not None and len(kept.words) == len(TIDE.words)
