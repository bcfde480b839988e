"""Everything that comes in: a transcript file, a folder of episodes, a feed. Doing it again changes only what changed.

Each episode is kept as soon as it is read, so that an interrupted run loses nothing and the next one goes on. A file
that cannot be read does not stop the others: it is told at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from whetstone.episodes import feeds, formats, segments
from whetstone.episodes.content import About
from whetstone.episodes.feeds import Feed, Item
from whetstone.episodes.fetching import Fetched, fetch, is_address
from whetstone.episodes.page.folder import LIST
from whetstone.episodes.sounds import sha256
from whetstone.episodes.store.library import Store
from whetstone.episodes.transcript import Transcript
from whetstone.errors import UsageError, WorkFailed
from whetstone.text import printable

AUDIO = frozenset((".mp3", ".m4a", ".mp4", ".wav", ".ogg", ".oga", ".opus", ".flac", ".aac"))
TRANSCRIPTS = (".vtt", ".json", ".srt", ".html", ".htm", ".txt")  # of several with one name the first is taken
MOST_FILES = 20_000

Progress = Callable[[str], None]  # called with the name of each episode that is begun


@dataclass
class Report:
    """What an import did: the numbers of all `episodes` in the source's order, and of them those whose transcript is
    `new` (or another than before), the `same`, or missing (`untranscribed`: sound that has to be recognised, or
    nothing). `failures`: a line for each that could not be read; `notes`: what had to be forgiven."""

    episodes: list[int] = field(default_factory=list)
    new: list[int] = field(default_factory=list)
    same: list[int] = field(default_factory=list)
    untranscribed: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def take(self, episode: int, changed: bool | None) -> None:
        """Count an episode in. changed: whether its transcript is another than before; None: it has none."""
        self.episodes.append(episode)
        (self.untranscribed if changed is None else self.new if changed else self.same).append(episode)


def anything(
    store: Store,
    source: str,
    *,
    only: int | None = None,
    about: About | None = None,
    show: str = "",
    progress: Progress | None = None,
) -> Report:
    """Take in what a source is: a folder, a feed (file or address), a transcript (file or address), sound (likewise).

    only: of a feed one episode, 1 the newest; None: all. about: what is told of a single file instead of what its name
    and content tell. show: the show's title, which a feed tells itself. Sound at an address is not fetched
    here. Raises UsageError, WorkFailed where it cannot be read.
    """
    if is_address(source):
        if Path(httpx.URL(source).path).suffix.lower() in AUDIO:
            return _take_address(store, source, None, about, show)
        found = fetch(source)
        if _is_feed(found.content):
            _require_no_show(show)
            return _take_feed(store, feeds.parse(found.content, found.address), only, progress)
        return _take_address(store, found.address, found, about, show)
    path = Path(source)
    if path.is_dir():
        return folder(store, path, show=show, progress=progress)
    if path.is_file():
        with path.open("rb") as content:
            begin = content.read(4096)
        if _is_feed(begin):
            _require_no_show(show)
            return feed(store, path, only=only, progress=progress)
    return file(store, path, show=show, about=about)


def file(store: Store, path: Path, *, show: str = "", about: About | None = None) -> Report:
    """Take one transcript or audio file in; an audio file goes with the transcript of its name beside it, if there is
    one. show: the show's title, "" for none. Raises UsageError where it cannot be read."""
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"{path} is no file" if path.exists() else f"there is no file {path}")
    report = Report()
    group = {each.suffix.lower(): each for each in _beside(path)}
    # a transcript was named: this one, and not another of its name; or sound: the same
    sound = _is_audio(path) or path.suffix.lower() in AUDIO
    group = {suffix: each for suffix, each in group.items() if (suffix in AUDIO) != sound} | {path.suffix.lower(): path}
    number = store.add_show(show)
    _take_group(store, number, path.stem, group, report, about)
    return report


def folder(store: Store, path: Path, *, show: str = "", progress: Progress | None = None) -> Report:
    """Take all transcripts and audio files of a folder and the folders in it; files of one name are one episode.

    Raises UsageError where it is no folder, or holds more than 20,000 files.
    """
    path = Path(path)
    if not path.is_dir():
        raise UsageError(f"{path} is no folder")
    groups: dict[Path, dict[str, Path]] = {}
    for count, each in enumerate(_files(path)):
        if count >= MOST_FILES:
            raise UsageError(f"{path} holds more than {MOST_FILES:,} files: name a smaller folder")
        if each.suffix.lower() in AUDIO or each.suffix.lower() in TRANSCRIPTS:
            groups.setdefault(each.with_suffix(""), {})[each.suffix.lower()] = each
    report = Report()
    number = store.add_show(show or path.resolve().name or "Files") if groups else 0
    for stem in sorted(groups):
        name = str(stem.relative_to(path))
        if progress is not None:
            progress(name)
        try:
            _take_group(store, number, name, groups[stem], report, None)
        except (UsageError, WorkFailed) as error:
            report.failures.append(str(error))
    store.optimise()
    return report


def feed(store: Store, source: str | Path, *, only: int | None = None, progress: Progress | None = None) -> Report:
    """Take a feed's episodes, with the best transcript that each names. only: one of them, 1 the newest.

    An episode that has a transcript from the same address is not fetched again. Raises UsageError, WorkFailed where the
    feed itself cannot be read.
    """
    return _take_feed(store, feeds.read(source), only, progress)


def _take_feed(store: Store, found: Feed, only: int | None, progress: Progress | None) -> Report:
    # feeds mostly have the newest first; the sort is stable, so that those without a day stay where they are
    items = sorted(found.items, key=lambda item: item.about.published, reverse=True)
    if not items:
        raise UsageError(f"{found.source} has no episodes")
    if only is not None:
        if not 1 <= only <= len(items):
            raise UsageError(f"{found.source} has {len(items)} episodes, so there is no number {only}")
        items = [items[only - 1]]
    report = Report()
    number = store.add_show(found.title, found.source, found.link, found.description, found.language)
    for item in items:
        if progress is not None:
            progress(item.about.title)
        _take_item(store, number, found, item, report)
    if len(report.new) > 1:
        store.optimise()
    return report


def _take_group(
    store: Store, show: int, name: str, group: dict[str, Path], report: Report, about: About | None
) -> None:
    """One episode: its transcript, where there is one that can be read, and its audio."""
    for each in group.values():
        if printable(str(each)) != str(each):
            raise UsageError(f"{printable(str(each))} has a name that is no plain text: rename it")
    audio = next((each for suffix, each in sorted(group.items()) if suffix in AUDIO), None)
    written = [group[suffix] for suffix in TRANSCRIPTS if suffix in group]
    written += [each for suffix, each in group.items() if suffix not in AUDIO and suffix not in TRANSCRIPTS]
    reading = formats.read_file(written[0]) if written else None
    transcript = segments.transcript(reading) if reading else None
    told = about or About((reading.title if reading else "") or Path(name).name)
    told = replace(
        told,
        guid=told.guid or _guid(store, show, name, [*written, *([audio] if audio else [])], transcript),
        audio=told.audio or (str(audio.resolve()) if audio else ""),
    )
    episode = store.add_episode(
        show,
        told,
        source=str(written[0].resolve()) if written else "",
        audio_sha256=sha256(audio) if audio else "",
    )
    if reading is None or transcript is None:
        report.take(episode, None)
        return
    report.take(episode, store.set_transcript(episode, transcript))
    report.notes += [f"{written[0].name}: {note}" for note in reading.notes]


def _guid(store: Store, show: int, name: str, files: list[Path], transcript: Transcript | None) -> str:
    """The name; where an episode of that name is another one, the place of these files. Another: its files lie
    elsewhere, or lay there and held something else."""
    known = store.find_episode(show, name)
    if known is None or not files:
        return name
    before = store.episode(known)
    stem = files[0].resolve().with_suffix("")
    places = [Path(place) for place in (before.source, before.about.audio) if place and not is_address(place)]
    if not places or any(place.with_suffix("") == stem for place in places):
        return name
    if any(place.is_file() for place in places):
        return str(stem)
    if before.about.show:  # a folder that was moved keeps its episodes
        return name
    sound = next((each for each in files if each.suffix.lower() in AUDIO), None)
    moved = sound is not None and sha256(sound) == before.audio_sha256
    moved = moved or (transcript is not None and transcript == store.transcript(known, as_published=True))
    return name if moved else str(stem)


def _take_item(store: Store, show: int, found: Feed, item: Item, report: Report) -> None:
    known = store.find_episode(show, item.about.guid)
    before = store.episode(known) if known is not None else None
    chapters = item.chapters
    if item.chapters_address and not (known is not None and store.chapters(known)):
        try:
            chapters = feeds.chapters(feeds.linked(item.chapters_address, found), item.chapters_address) or chapters
        except (UsageError, WorkFailed) as error:
            report.notes.append(f"{item.about.title}: {error}")
    # whose roles the episode does not tell are the show's
    people = item.about.people or tuple((person.name, person.role) for person in found.people)
    episode = store.add_episode(show, replace(item.about, people=people), chapters=chapters)
    if before is not None and before.words and before.source in {link.address for link in item.transcripts}:
        report.take(episode, False)
        return
    failures = []
    for link in item.transcripts:
        try:
            reading = formats.read(feeds.linked(link.address, found), link.address, link.kind)
        except (UsageError, WorkFailed) as error:
            failures.append(f"{item.about.title}: {error}")
            continue
        language = reading.language or link.language or found.language
        transcript = segments.transcript(replace(reading, language=language))
        store.add_episode(show, replace(item.about, people=people), source=link.address, chapters=chapters)
        report.take(episode, store.set_transcript(episode, transcript))
        report.notes += [*failures, *(f"{item.about.title}: {note}" for note in reading.notes)]
        return
    report.take(episode, None)
    report.failures += failures


def _take_address(store: Store, address: str, found: Fetched | None, about: About | None, show: str) -> Report:
    """A transcript that was fetched, or sound that was not (None) or need not have been."""
    url = httpx.URL(address)
    sound = found is None or formats.is_audio(found.content)
    reading = None if found is None or sound else formats.read(found.content, address, found.media_type)
    told = about or About((reading.title if reading else "") or Path(url.path).name or url.host)
    told = replace(told, guid=told.guid or address, link=told.link or address, audio=address if sound else told.audio)
    report = Report()
    episode = store.add_episode(store.add_show(show or url.host), told, source="" if sound else address)
    report.take(episode, store.set_transcript(episode, segments.transcript(reading)) if reading else None)
    report.notes += reading.notes if reading else ()
    return report


def _require_no_show(show: str) -> None:
    """Raises UsageError."""
    if show:
        raise UsageError("a feed tells its show itself: --show is for files and folders")


def _is_feed(content: bytes) -> bool:
    begin = content[:4096].replace(b"\x00", b"")  # UTF-16 too
    return b"<rss" in begin or (b"<?xml" in begin and b"<feed" in begin) or b"<rdf:RDF" in begin


def _is_audio(path: Path) -> bool:
    with path.open("rb") as content:
        return formats.is_audio(content.read(16))


def _beside(path: Path) -> Iterator[Path]:
    """The file and those that differ from it only in the ending, as far as they matter here."""
    for each in path.parent.iterdir():
        matters = each.suffix.lower() in AUDIO or each.suffix.lower() in TRANSCRIPTS
        if each.stem == path.stem and each != path and matters and each.is_file():
            yield each
    yield path


def _files(path: Path) -> Iterator[Path]:
    """All files below, without following links to folders, going into hidden ones, or taking pages for episodes."""
    if (path / LIST).is_file():
        return
    for each in sorted(path.iterdir()):
        if each.name.startswith("."):
            continue
        if each.is_dir() and not each.is_symlink():
            yield from _files(each)
        elif each.is_file():
            yield each
