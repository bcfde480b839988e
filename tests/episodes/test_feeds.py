"""Feeds as they are published, broken ones, and hostile ones."""

from __future__ import annotations

import gzip
import json
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.episodes.server import Page, serving
from whetstone.episodes import feed_xml, feeds, fetching, formats, ingest, sounds
from whetstone.episodes.feeds import Feed, Link, Person, Soundbite
from whetstone.episodes.store import Store
from whetstone.errors import UsageError, WorkFailed

FEED = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"
  xmlns:podcast="https://podcastindex.org/namespace/1.0"
  xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:psc="http://podlove.org/simple-chapters/"
  xmlns:atom="http://www.w3.org/2005/Atom">
<channel>
  <atom:link href="https://example.org/feed.xml" rel="self"/>
  <title>Talks &amp; more</title><link>https://example.org</link><language>en</language>
  <description><![CDATA[<p>About <b>things</b>.</p><script>alert(1)</script>]]></description>
  <podcast:person>Ann Lee</podcast:person>
  <item>
    <title>One</title><guid isPermaLink="false">abc-1</guid><pubDate>Tue, 02 Jan 2024 23:30:00 -0500</pubDate>
    <enclosure url="https://example.org/1.mp3" length="123456" type="audio/mpeg"/>
    <itunes:duration>1:02:03</itunes:duration><itunes:season>2</itunes:season><itunes:episode>7</itunes:episode>
    <description>Short</description>
    <content:encoded>&lt;p&gt;Long &amp;amp; good&lt;/p&gt;&lt;p&gt;Two&lt;/p&gt;</content:encoded>
    <podcast:transcript url="https://example.org/1.txt" type="text/plain"/>
    <podcast:transcript url="https://example.org/1.srt" type="application/x-subrip" language="en" rel="captions"/>
    <podcast:transcript url="1.vtt" type="text/vtt; charset=utf-8"/>
    <podcast:transcript url="file:///etc/passwd" type="text/vtt"/>
    <podcast:transcript url="https://example.org/1.html?x=1" type=""/>
    <podcast:chapters url="https://example.org/1.json" type="application/json+chapters"/>
    <podcast:person role="Guest">Bob \u202eLee</podcast:person><podcast:person>Ann Lee</podcast:person>
    <podcast:soundbite startTime="12.5" duration="30">Best</podcast:soundbite>
    <podcast:soundbite startTime="x" duration="3"/>
    <psc:chapters><psc:chapter start="0:10" title="B"/><psc:chapter start="0" title="A"/></psc:chapters>
  </item>
  <item><title>One again</title><guid>abc-1</guid></item>
  <item><itunes:title>Two</itunes:title><link>https://example.org/2</link><itunes:duration>90</itunes:duration>
    <pubDate>never</pubDate><itunes:summary>Sum</itunes:summary></item>
</channel></rss>
"""


def test_everything_a_feed_tells() -> None:
    feed = feeds.parse(FEED.encode(), "https://example.org/a/feed.xml")
    assert (feed.title, feed.link, feed.language) == ("Talks & more", "https://example.org", "en")
    assert feed.description == "About things." and feed.people == (Person("Ann Lee"),)
    one, two = feed.items
    assert (one.about.title, one.about.guid, one.about.published, one.about.seconds) == (
        "One",
        "abc-1",
        "2024-01-03",
        3723,
    )
    assert one.about.description == "Long & good\n\nTwo" and one.about.audio == "https://example.org/1.mp3"
    assert one.about.people == (("Bob Lee", "guest"), ("Ann Lee", "host"))
    assert one.transcripts == (
        Link("https://example.org/a/1.vtt", "vtt"),
        Link("https://example.org/1.srt", "srt", "en", True),
        Link("https://example.org/1.html?x=1", "html"),
        Link("https://example.org/1.txt", "text"),
    )
    assert one.chapters_address == "https://example.org/1.json" and one.chapters == ((0.0, "A"), (10.0, "B"))
    assert one.soundbites == (Soundbite(12.5, 30.0, "Best"),)
    assert (one.audio_type, one.audio_bytes, one.season, one.number) == ("audio/mpeg", 123456, 2, 7)
    assert (two.about.title, two.about.guid, two.about.seconds) == ("Two", "https://example.org/2", 90)
    assert two.about.published == "" and two.about.description == "Sum" and two.transcripts == ()


@pytest.mark.parametrize(
    ("change", "title"),
    [
        (lambda text: text.replace("&amp; more", "& more"), "Talks & more"),
        (lambda text: text.replace("&amp; more", "&nbsp;&eacute;&LT; more"), "Talks é&LT; more"),
        (lambda text: text.replace("&amp; more", "\x0b more"), "Talks more"),
        (lambda text: "\n" + text, "Talks & more"),
        (lambda text: text.replace("UTF-8", "UTF-16"), "Talks & more"),
        (lambda text: text.replace('encoding="UTF-8"', 'encoding="nonsense"'), "Talks & more"),
        (lambda text: text.replace("<rss", "<!DOCTYPE rss SYSTEM 'x.dtd'><rss"), "Talks & more"),
    ],
)
def test_what_is_forgiven(change: Callable[[str], str], title: str) -> None:
    feed = feeds.parse(change(FEED).encode(), "f")
    assert feed.title == title and len(feed.items) == 2


def test_encodings() -> None:
    text = FEED.replace("Talks", "Gespräche")
    for encoding, declared in [
        ("utf-16", "UTF-16"),
        ("latin-1", "ISO-8859-1"),
        ("latin-1", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
    ]:
        content = text.replace("\u202e", "").replace("UTF-8", declared).encode(encoding)
        assert feeds.parse(content, "f").title == "Gespräche & more"


LOL = "<!DOCTYPE rss [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>" + "".join(
    f"<!ENTITY {chr(99 + n)} '{f'&{chr(98 + n)};' * 10}'>" for n in range(12)
)
BOMBS = {
    "billion laughs": f"{LOL}]><rss><channel><title>&n;</title></channel></rss>",
    "external": "<!DOCTYPE rss [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><rss><channel><title>&x;</title></channel></rss>",
    "parameter": "<!DOCTYPE rss [<!ENTITY % p SYSTEM 'http://127.0.0.1:1/x'> %p;]><rss><channel/></rss>",
    "deep": "<rss><channel>" + "<a>" * 100_000,
    "many": "<rss><channel>" + "<a/>" * 60_000 + "</channel></rss>",
    "not closed": "<rss><channel><title>x",
    "empty": "",
    "atom": "<feed xmlns='http://www.w3.org/2005/Atom'><title>x</title></feed>",
    "html": "<!doctype html><html><p>hi</p></html>",
    "text": "hello",
    "no channel": "<rss version='2.0'></rss>",
    "verbatim": "<rss><channel><title>" + "<![CDATA[" * 50_000,
    "ampersands": "<rss><channel>" + "&a" * 100_000,
    "binary": "\x00\x01\x02" * 1000,
    "nothing read as text": "<rss>\ud7ff" + "<!--" * 50_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_and_what_is_no_feed_end_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_xml, "MOST_ELEMENTS", 50_000)
    tracemalloc.start()
    with pytest.raises(UsageError, match=r"^https://example\.org/f") as failure:
        feeds.parse(BOMBS[name].encode(), "https://example.org/f")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(failure.value) and peak < 100e6
    with pytest.raises(UsageError, match="larger than"):
        feeds.parse(b" " * (feeds.LARGEST + 1), "big")


def test_chapters() -> None:
    listed = [
        {"startTime": 94, "title": "Two \x1b[31m", "img": "https://x/y.jpg"},
        {"startTime": 0, "title": "One"},
        {"startTime": 50, "title": "Hidden", "toc": False},
        {"startTime": "x", "title": "No time"},
        {"startTime": 5},
        7,
    ]
    assert feeds.chapters(json.dumps({"version": "1.2.0", "chapters": listed}).encode(), "c") == (
        (0.0, "One"),
        (94.0, "Two [31m"),
    )
    for content in (b"[]", b"{", b'{"chapters": 3}', b"[" * 100_000):
        with pytest.raises(UsageError, match=r"^c "):
            feeds.chapters(content, "c")


def test_a_feed_in_a_folder_names_files_beside_it_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "show"
    folder.mkdir()
    (tmp_path / "secret.vtt").write_text("WEBVTT")
    (folder / "feed.xml").write_text(FEED.replace("https://example.org/1.txt", "../secret.vtt"), encoding="utf-8")
    (folder / "1.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nhi\n")
    feed = feeds.read(folder / "feed.xml")
    best = feed.items[0].transcripts[0]
    assert best == Link("1.vtt", "vtt")
    assert formats.read(feeds.linked(best.address, feed)).words[0].text == "hi"
    for address in ("../secret.vtt", str(tmp_path / "secret.vtt"), "absent.vtt"):
        with pytest.raises(UsageError, match=r"outside of its folder|cannot be read"):
            feeds.linked(address, feed)
    with pytest.raises(UsageError, match="cannot be read"):
        feeds.read(tmp_path / "absent.xml")


def test_a_feed_from_the_web() -> None:
    pages = {
        "/old": Page(status=302, headers={"location": "/a/feed.xml"}),
        "/a/feed.xml": Page(FEED.encode(), headers={"content-type": "application/rss+xml"}),
        "/a/1.vtt": Page(b"WEBVTT\n\n00:01.000 --> 00:02.000\nhi\n"),
    }
    with serving(pages) as (address, asked):
        feed = feeds.read(f"{address}/old")
        assert asked == ["/old", "/a/feed.xml"]  # what it names is not fetched by itself
        link = feed.items[0].transcripts[0]
        assert link.address == f"{address}/a/1.vtt" and formats.read(feeds.linked(link.address, feed)).words
        # the same address, named by a feed from elsewhere: this machine is not asked on a stranger's behalf
        for source in ("feed.xml", "https://192.0.2.1:1/feed.xml"):
            with pytest.raises(WorkFailed, match="private network"):
                feeds.linked(link.address, Feed("x", source.replace("192.0.2.1", "9.9.9.9")))
        assert len(asked) == 3


def test_any_bytes_are_a_feed_or_refused_in_one_line() -> None:
    scraps = ["<item>", "</item>", "<title>", "&", "&nbsp;", "<![CDATA[", "]]>", "<!--", "-->", "\x00", "\u202e", "//x"]
    scraps += ['<enclosure url="', '"/>', "<pubDate>", "Tue, 99 Nov", "http://[", "<a:b>", '<?xml encoding="utf-16"?>']
    encodings = st.sampled_from(["utf-8", "utf-16", "utf-32"])

    @given(st.lists(st.sampled_from(scraps), max_size=12).map("".join), encodings)
    @settings(max_examples=150, deadline=None)
    def read(scrap: str, encoding: str) -> None:
        text = f"<rss><channel><item><title>t</title>{scrap}</item></channel></rss>"
        try:
            feeds.parse(text.encode(encoding), "http://example.org/f")
        except UsageError as failure:
            assert "\n" not in str(failure)

    read()


def test_an_address_of_sound_that_no_file_can_have(tmp_path: Path) -> None:
    feed = tmp_path / "feed.xml"
    for name in ("a" * 5000 + ".mp3", "xn--zz.mp3", "http://xn--zz/a.mp3"):
        feed.write_text(
            f"<rss><channel><title>s</title><item><title>t</title><enclosure url='{name}'/></item></channel></rss>"
        )
        with Store(tmp_path / "library.sqlite") as store:
            (number,) = ingest.feed(store, feed).episodes
            assert sounds.sound_here(store, store.episode(number)) is None


def test_a_feed_without_episodes_and_an_entity_before_it(tmp_path: Path) -> None:
    feed = tmp_path / "feed.xml"
    with Store(tmp_path / "library.sqlite") as store:
        feed.write_text("<rss><channel><title>s</title></channel></rss>")
        with pytest.raises(UsageError, match="has no episodes"):
            ingest.anything(store, str(feed), only=1)
        # the entity is so long that the feed begins far behind it: it is no transcript all the same
        feed.write_text(f"<!DOCTYPE rss [<!ENTITY a '{'a' * 30_000}'>]>{feed.read_text()}")
        with pytest.raises(UsageError, match="XML"):
            ingest.anything(store, str(feed), only=1)


def test_limits_of_fetching() -> None:
    pages = {
        "/endless": Page(b"x" * 100_000, endless=True),
        "/slow": Page(b"x", endless=True, slow=0.05),
        "/round": Page(status=301, headers={"location": "/round"}),
        "/away": Page(status=301, headers={"location": "file:///etc/passwd"}),
        "/secret?key=abc": Page(status=403),
    }
    with serving(pages) as (address, _):
        for path, reason in [
            ("/endless", "larger than 1 MiB"),
            ("/slow", "longer than 0.4 s"),
            ("/round", "only sends on"),
            ("/absent", "answered 404"),
            ("/secret?key=abc", "answered 403"),
        ]:
            with pytest.raises(WorkFailed, match=reason) as failure:
                fetching.fetch(address + path, largest=1 << 20, seconds=0.4 if path == "/slow" else 20)
            assert "key" not in str(failure.value) and "\n" not in str(failure.value)
        with pytest.raises(UsageError, match="only http"):
            fetching.fetch(f"{address}/away")
    with pytest.raises(WorkFailed, match="cannot be fetched"):
        fetching.fetch(address)
    for wrong in ("file:///etc/passwd", "http://", "ftp://x/y", "http://[::1", "http://xn--zz/x", "http://xn--/"):
        with pytest.raises(UsageError):
            fetching.fetch(wrong)


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("http://localhost/x", True),
        ("http://127.0.0.1:80/", True),
        ("http://[::1]/", True),
        ("http://169.254.169.254/latest", True),
        ("http://10.0.0.1/", True),
        ("http://192.168.1.1/", True),
        ("http://[fe80::1]/", True),
        ("http://0.0.0.0/", True),
        ("http://[::ffff:127.0.0.1]/", True),
        ("http://2130706433/", True),
        ("http://[64:ff9b::7f00:1]/", True),  # 127.0.0.1 behind a translator of addresses
        ("http://[2002:7f00:1::]/", True),
        ("http://[64:ff9b::909:909]/", False),
        ("http://9.9.9.9/", False),
    ],
)
def test_private_addresses_are_known(address: str, private: bool) -> None:
    assert fetching.is_private(address) is private


def test_a_name_that_leads_elsewhere_when_it_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, looked_up = socket.getaddrinfo, []

    def changing(host: object, *rest: object, **more: object) -> object:
        if host not in ("rebinding.example", b"rebinding.example"):
            return honest(host, *rest, **more)  # type: ignore[arg-type]
        looked_up.append(host)
        return honest("9.9.9.9" if len(looked_up) == 1 else "127.0.0.1", *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serving({"/": Page(b"secret")}) as (address, asked):
        port = address.rpartition(":")[2]
        with pytest.raises(WorkFailed, match="private network"):
            fetching.fetch(f"http://rebinding.example:{port}/", may_be_private=False)
    assert len(looked_up) == 2 and asked == []


def test_one_private_host_may_be_named_and_no_other() -> None:
    pages = {
        "/": Page(b"fine"),
        "/away": Page(status=302, headers={"location": "http://169.254.169.254/latest/meta-data"}),
        "/home": Page(status=302, headers={"location": "/"}),
    }
    with serving(pages) as (address, _):
        assert fetching.fetch(address, may_be_private="127.0.0.1").content == b"fine"
        assert fetching.fetch(f"{address}/home", may_be_private="127.0.0.1").content == b"fine"
        for wrong, host in ((f"{address}/away", "127.0.0.1"), (address, "10.0.0.1"), (address, "")):
            with pytest.raises(WorkFailed, match="private network"):
                fetching.fetch(wrong, may_be_private=host)


def test_headers_stay_with_the_server_that_was_named() -> None:
    got: list[str] = []
    with serving({"/there": Page(b"x")}, seen=got.append) as (elsewhere, _):
        pages = {"/": Page(status=302, headers={"location": f"{elsewhere}/there"})}
        with serving(pages, seen=got.append) as (address, _):
            fetching.fetch(address, headers={"authorization": "Bearer k"})
    assert got == ["Bearer k", ""]


def test_what_is_packed_again_and_again_is_not_unpacked() -> None:
    bomb = gzip.compress(gzip.compress(b"\0" * (50 << 20)))
    assert len(bomb) < 2000
    pages = {
        "/twice": Page(bomb, headers={"content-encoding": "gzip, gzip"}),
        "/once": Page(gzip.compress(b"\0" * (50 << 20)), headers={"content-encoding": "gzip"}),
    }
    with serving(pages) as (address, _):
        for path, reason in (("/twice", "packed more than once"), ("/once", "larger than 1 MiB")):
            with pytest.raises(WorkFailed, match=reason):
                fetching.fetch(address + path, largest=1 << 20)
