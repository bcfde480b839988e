"""Podcast feeds: RSS 2.0 with iTunes' tags and the podcast namespace's transcripts, chapters, people and soundbites.

What real feeds get wrong is forgiven in a second attempt: bare ampersands, entities of HTML, control characters, a
wrong encoding. `feed_xml` does the parsing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from xml.etree.ElementTree import Element, ParseError

from whetstone.episodes.content import About
from whetstone.episodes.feed_xml import children, elements, first, mended, name_of, text_of
from whetstone.episodes.fetching import fetch, is_address, is_private
from whetstone.episodes.formats import markup
from whetstone.episodes.formats.decoding import decoded
from whetstone.episodes.formats.reading import cleaned, clock, seconds, unescaped
from whetstone.errors import UsageError

LARGEST = 64 << 20  # bytes of a feed
MOST_ITEMS = 50_000
LONGEST_TEXT = 100_000  # characters of a description
PODCAST = (
    "https://podcastindex.org/namespace/1.0",
    "https://github.com/Podcastindex-org/podcast-namespace/blob/main/docs/1.0.md",
)
ITUNES = ("http://www.itunes.com/dtds/podcast-1.0.dtd",)
CONTENT = ("http://purl.org/rss/1.0/modules/content",)
SIMPLE_CHAPTERS = ("http://podlove.org/simple-chapters",)
# Of several transcripts the first of these is taken: what says most of times and speakers.
PREFERENCE = ("vtt", "json", "srt", "html", "text")
_KINDS = {
    "text/vtt": "vtt",
    "application/json": "json",
    "text/json": "json",
    "application/srt": "srt",
    "application/x-subrip": "srt",
    "text/srt": "srt",
    "text/html": "html",
    "text/plain": "text",
}


@dataclass(frozen=True)
class Link:
    """A transcript that a feed names. `kind`: vtt, json, srt, html, text, or "" where nobody knows."""

    address: str
    kind: str
    language: str = ""
    captions: bool = False


@dataclass(frozen=True)
class Person:
    """Somebody in a show or an episode; `role` in lower case, "host" where the feed says none."""

    name: str
    role: str = "host"


@dataclass(frozen=True)
class Soundbite:
    """A part that the publisher likes: from `start`, `length` seconds."""

    start: float
    length: float
    title: str = ""


@dataclass(frozen=True)
class Item:
    """An episode as its feed tells it. `about.audio` is the enclosure's address. `chapters`: (seconds, title)."""

    about: About
    transcripts: tuple[Link, ...] = ()  # the best first
    chapters_address: str = ""
    chapters: tuple[tuple[float, str], ...] = ()
    soundbites: tuple[Soundbite, ...] = ()
    audio_type: str = ""
    audio_bytes: int | None = None
    season: int | None = None
    number: int | None = None


@dataclass(frozen=True)
class Feed:
    """A feed. `source`: the address or file it was read from, which relative addresses start from."""

    title: str
    source: str
    link: str = ""
    description: str = ""
    language: str = ""
    people: tuple[Person, ...] = ()
    items: tuple[Item, ...] = ()


def read(source: str | Path) -> Feed:
    """The feed in a file or at an address (which is fetched). Raises UsageError, WorkFailed: one clear line."""
    if isinstance(source, str) and is_address(source):
        found = fetch(source, largest=LARGEST)
        return parse(found.content, found.address)
    path = Path(source)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    return parse(content, str(path))


def parse(content: bytes, source: str) -> Feed:
    """The feed in some bytes. Raises UsageError for what is no RSS feed, for entities and for what is too large."""
    what = source
    if len(content) > LARGEST:
        raise UsageError(f"{what} is larger than {LARGEST >> 20} MiB: that is no feed")
    try:
        return _Parser(what).feed(content)
    except (ParseError, ValueError, LookupError) as failure:
        try:
            return _Parser(what).feed(mended(content, what, LARGEST))
        except (ParseError, ValueError, LookupError):
            raise UsageError(f"{what} is no feed: {failure}") from None


class _Parser:
    """Builds a feed while its elements end; an item's elements are dropped as soon as the item is read."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.items: list[Item] = []
        self.guids: set[str] = set()

    def feed(self, content: bytes) -> Feed:
        """All of it. Raises ParseError and UsageError."""
        channel: Element | None = None
        for depth, element, ended in elements(content, self.source):
            name = name_of(element)
            if depth == 1 and not ended and name[1].lower() not in ("rss", "rdf"):
                hint = "Atom feeds are not read: most podcasts have RSS too" if name[1] == "feed" else "it is not RSS"
                raise UsageError(f"{self.source} is no podcast feed: {hint}")
            if name == ("", "channel") and depth == 2:
                channel = element
            elif ended and name == ("", "item") and depth <= 3:
                self._take(element)
                element.clear()
        if channel is None:
            raise UsageError(f"{self.source} is no podcast feed: it has no channel")
        return Feed(
            _line(text_of(channel, "title")) or "Untitled",
            self.source,
            self._address(text_of(channel, "link")),
            _prose(text_of(channel, "description") or text_of(channel, "summary", ITUNES)),
            _line(text_of(channel, "language"))[:40],
            _people(channel),
            tuple(self.items),
        )

    def _take(self, element: Element) -> None:
        if len(self.items) >= MOST_ITEMS:
            raise UsageError(f"{self.source} has more than {MOST_ITEMS:,} episodes")
        enclosure = first(element, "enclosure")
        attributes = {} if enclosure is None else enclosure.attrib
        audio = self._address(attributes.get("url", ""))
        link = self._address(text_of(element, "link"))
        guid = _line(text_of(element, "guid")) or audio or link or _line(text_of(element, "title"))
        if not guid or guid in self.guids:
            return
        self.guids.add(guid)
        length = clock(_line(text_of(element, "duration", ITUNES)))
        people = tuple((person.name, person.role) for person in _people(element))
        about = About(
            _line(text_of(element, "title")) or _line(text_of(element, "title", ITUNES)) or "Untitled",
            published=_day(_line(text_of(element, "pubDate"))),
            seconds=length or None,
            guid=guid,
            link=link,
            description=_prose(
                text_of(element, "encoded", CONTENT)
                or text_of(element, "description")
                or text_of(element, "summary", ITUNES)
            ),
            people=people,
            audio=audio,
        )
        chapters = first(element, "chapters", PODCAST)
        self.items.append(
            Item(
                about,
                self._transcripts(element),
                "" if chapters is None else self._address(chapters.attrib.get("url", "")),
                _simple_chapters(element),
                _soundbites(element),
                _line(attributes.get("type", "")).lower(),
                _whole(attributes.get("length", "")),
                _whole(text_of(element, "season", ITUNES) or text_of(element, "season", PODCAST)),
                _whole(text_of(element, "episode", ITUNES) or text_of(element, "episode", PODCAST)),
            )
        )

    def _transcripts(self, element: Element) -> tuple[Link, ...]:
        found = []
        for each in children(element, "transcript", PODCAST):
            address = self._address(each.attrib.get("url", ""))
            if address:
                kind = _kind(each.attrib.get("type", ""), address)
                captions = each.attrib.get("rel", "").strip().lower() == "captions"
                found.append(Link(address, kind, _line(each.attrib.get("language", ""))[:40], captions))
        rank = {kind: place for place, kind in enumerate(PREFERENCE)}
        return tuple(sorted(found, key=lambda link: rank.get(link.kind, len(rank))))

    def _address(self, text: str) -> str:
        """An address as the feed means it: relative ones start from the feed. Other schemes than http are none."""
        line = "".join(_line(text).split())[:4000]
        if not line:
            return ""
        if is_address(self.source):
            line = urljoin(self.source, line)
        return line if is_address(line) or re.match(r"[A-Za-z][A-Za-z0-9+.\-]*:", line) is None else ""


def chapters(content: bytes, what: str) -> tuple[tuple[float, str], ...]:
    """(seconds, title) of the chapters in a podcast-namespace JSON file, those that a table of contents shows.

    Raises UsageError for what is no such file.
    """
    text, _ = decoded(content, what, 8 << 20)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError(f"{what} is no JSON") from None
    listed = found.get("chapters") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise UsageError(f"{what} holds no list of chapters")
    kept = [
        (start, title)
        for each in listed
        if isinstance(each, dict)
        and each.get("toc", True) is not False
        and (start := seconds(each.get("startTime"))) is not None
        and isinstance(each.get("title"), str)
        and (title := _line(each["title"]))
    ]
    return tuple(sorted(kept))


def linked(address: str, feed: Feed) -> bytes:
    """The content behind an address that a feed names: fetched, or read from beside the feed's file.

    Raises UsageError for a path that leads out of the feed's folder, WorkFailed where nothing comes.
    """
    if is_address(address):
        # a feed in a file came from nowhere in particular, so it may not name private networks either
        inside = is_address(feed.source) and is_private(feed.source)
        return fetch(address, may_be_private=inside).content
    folder = Path(feed.source).resolve().parent
    path = (folder / address).resolve()
    if not path.is_relative_to(folder):
        raise UsageError(f"{feed.source} names a file outside of its folder ({address}): not read")
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{feed.source} names {address}, which cannot be read: {error.strerror}") from None


def _people(element: Element) -> tuple[Person, ...]:
    found = dict.fromkeys(
        Person(name, _line(each.attrib.get("role", "")).lower()[:60] or "host")
        for each in children(element, "person", PODCAST)
        if (name := _line(each.text or ""))
    )
    return tuple(found)


def _soundbites(element: Element) -> tuple[Soundbite, ...]:
    found = []
    for each in children(element, "soundbite", PODCAST):
        start, length = clock(each.attrib.get("startTime", "")), clock(each.attrib.get("duration", ""))
        if start is not None and length:
            found.append(Soundbite(start, length, _line(each.text or "")))
    return tuple(found)


def _simple_chapters(element: Element) -> tuple[tuple[float, str], ...]:
    """Podlove's chapters, which stand in the feed itself."""
    group = first(element, "chapters", SIMPLE_CHAPTERS)
    if group is None:
        return ()
    found = [
        (start, title)
        for each in children(group, "chapter", SIMPLE_CHAPTERS)
        if (start := clock(each.attrib.get("start", ""))) is not None and (title := _line(each.attrib.get("title", "")))
    ]
    return tuple(sorted(found))


def _line(text: str) -> str:
    return " ".join(cleaned(text).split())[:1000]


def _prose(text: str) -> str:
    """A description without its markup, paragraphs parted by empty lines."""
    text = text[:LONGEST_TEXT]
    if "<" in text or "&" in text:
        parts = [
            content if kind == "text" else "\n\n" if content in ("p", "div", "br", "li", "ul", "h1", "h2", "h3") else ""
            for kind, content, _ in markup.scan(text, "a description")
        ]
        text = unescaped("".join(parts))
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", cleaned(text)))
    return "\n\n".join(part for part in paragraphs if part)


def _kind(media_type: str, address: str) -> str:
    if found := _KINDS.get(media_type.split(";")[0].strip().lower()):
        return found
    ending = re.search(r"\.(vtt|json|srt|html?|txt)(?:[?#]|$)", address.lower())
    return {"htm": "html", "txt": "text"}.get(ending[1], ending[1]) if ending else ""


def _day(text: str) -> str:
    """The ISO date of RFC 822's (in UTC) or ISO's own; "" for what is none."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return ""
    try:
        return (found.astimezone(UTC) if found.tzinfo else found).date().isoformat()
    except (OverflowError, ValueError):
        return found.date().isoformat()


def _whole(text: Any) -> int | None:
    line = _line(text)
    return int(line) if line.isascii() and line.isdigit() and len(line) < 16 else None
