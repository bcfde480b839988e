"""From what the user names to episodes: a file of sound or a transcript, a folder of such, or a feed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from whetstone.episodes import formats
from whetstone.episodes.content import About
from whetstone.episodes.hearing.sound import SUFFIXES
from whetstone.episodes.listening import Given
from whetstone.errors import UsageError

SCRIPTS = (".vtt", ".srt", ".json", ".html", ".htm", ".txt")  # the better ones first
FEEDS = (".xml", ".rss")
LOOKED_AT = 4096  # bytes at a file's beginning


def given_of(path: Path, title: str = "", show: str = "") -> Given:
    """The episode of one file. A transcript that lies beside a sound file under its name goes before recognition, and
    sound beside a transcript becomes the page's player."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    sound = script = None
    if is_sound(path):
        sound, script = path, _beside(path, SCRIPTS)
    else:
        script, sound = path, _beside(path, SUFFIXES)
    about = About(title or _title(path), show or path.resolve().parent.name)
    if script is None:
        return Given(about, sound)
    content = _read(script)
    reading = formats.read(content, script.name, script.name)
    if reading.title and not title:
        about = About(reading.title, about.show)
    return Given(about, sound, content, script.name)


def givens_of(paths: Sequence[Path]) -> list[Given]:
    """Episodes of files and of folders' files, each once: a sound file and its transcript are one episode."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(each for each in path.iterdir() if each.suffix.lower() in (*SUFFIXES, *SCRIPTS))
            if not found:
                raise UsageError(f"the folder {path} holds neither sound nor transcripts")
            files += found
        else:
            files.append(path)
    chosen: dict[Path, Path] = {}
    for path in files:
        known = chosen.get(path.with_suffix(""))
        if known is None or (is_sound(path) and not is_sound(known)):
            chosen[path.with_suffix("")] = path
    return [given_of(path) for path in chosen.values()]


def is_sound(path: Path) -> bool:
    """By the suffix; of a file with a strange one by its first bytes."""
    if path.suffix.lower() in SUFFIXES:
        return True
    if path.suffix.lower() in (*SCRIPTS, *FEEDS):
        return False
    try:
        with path.open("rb") as file:
            return formats.is_audio(file.read(LOOKED_AT))
    except OSError:
        return False


def is_feed(path: Path) -> bool:
    """Whether a file is a feed: XML with an <rss> or <feed> in its beginning."""
    try:
        with path.open("rb") as file:
            begin = file.read(LOOKED_AT)
    except OSError:
        return False
    return re.search(rb"<(rss|feed)[\s>]", begin) is not None


def _beside(path: Path, suffixes: Sequence[str]) -> Path | None:
    for suffix in suffixes:
        other = path.with_suffix(suffix)
        if other != path and other.is_file():
            return other
    return None


def _title(path: Path) -> str:
    return re.sub(r"[_\s]+", " ", path.stem).strip() or path.name


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(formats.LARGEST_FILE + 1)
    except OSError as failure:
        raise UsageError(f"{path} cannot be read: {failure.strerror}") from None
