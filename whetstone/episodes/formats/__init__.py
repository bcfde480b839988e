"""Transcript files in and out. The content says which format a file has; its name only helps where both could be."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from whetstone.episodes.formats import captions, markup, plain, podcast_json, srt, vtt
from whetstone.episodes.formats.decoding import decoded, is_audio
from whetstone.episodes.formats.reading import LARGEST_FILE, MOST_WORDS, Reading
from whetstone.episodes.transcript import Transcript
from whetstone.errors import UsageError

__all__ = ["LARGEST_FILE", "MOST_WORDS", "WRITERS", "Reading", "detected", "is_audio", "read", "read_file", "write"]

READERS: dict[str, Callable[[str, str], Reading]] = {
    "vtt": vtt.read,
    "srt": srt.read,
    "json": podcast_json.read,
    "html": markup.read,
    "text": plain.read,
}
WRITERS: dict[str, Callable[[Transcript], str]] = {
    "vtt": vtt.write,
    "srt": srt.write,
    "json": podcast_json.write,
    "text": plain.write,
}
_JSON = re.compile(r"\s*(?:\{\s*(?:\"|\})|\[\s*(?:[{\]]))")
_HTML = re.compile(
    r"<(?:!doctype html|html|head|body|cite|time|p|div|article|section|main|h[1-6]|span|title|meta)\b[^<>]{0,1000}>",
    re.IGNORECASE,
)
_XML = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)*<(rss|feed|rdf:RDF|tt|transcript|timedtext)\b", re.DOTALL
)
_OTHER_XML = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?<!DOCTYPE\s+(?!html\b)", re.IGNORECASE)
_LOOKED_AT = 20_000  # characters at the beginning


def detected(text: str, hint: str = "") -> str:
    """The format of a transcript's text: vtt, srt, json, html or text. `hint` (a file name or media type) decides
    between HTML and text alone. Raises UsageError for feeds and other XML."""
    begin = text[:_LOOKED_AT]
    if re.match(r"\s*WEBVTT(?:\s|$)", begin):
        return "vtt"
    if _JSON.match(begin):
        return "json"
    if found := _XML.match(begin):
        if found[1].lower() in ("rss", "feed", "rdf:rdf"):
            raise UsageError("this is a feed, not a transcript: give it as a feed")
        raise UsageError(f"this is XML ({found[1]}), which is not read: VTT, SRT, JSON, HTML and text are")
    if _OTHER_XML.match(begin):
        raise UsageError("this is XML of a type of its own, which is not read: VTT, SRT, JSON, HTML and text are")
    if any(map(captions.timing, begin.split("\n"))):
        return "srt"
    if _HTML.match(begin.lstrip()) or len(_HTML.findall(begin)) >= (1 if "htm" in hint.lower() else 3):
        return "html"
    return "text"


def read(content: bytes, what: str = "the transcript", hint: str = "") -> Reading:
    """The words of a transcript file. what: its name in messages. hint: file name or media type.

    Raises UsageError, one line, for audio, binary files, unknown encodings, broken JSON, no words, too many.
    """
    text, notes = decoded(content, what)
    try:
        kind = detected(text, hint or what)
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from None
    found = READERS[kind](text, what)
    return Reading(
        found.words,
        found.timing,
        found.breaks,
        found.origin,
        found.language,
        found.title,
        found.format,
        (*notes, *found.notes),
    )


def read_file(path: Path) -> Reading:
    """`read` of a file. Raises UsageError also where it cannot be opened or is too large to be a transcript."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    return read(content, path.name)


def write(transcript: Transcript, kind: str) -> str:
    """The transcript as vtt, srt, json or text. Raises UsageError for another kind, and for captions without times."""
    if kind not in WRITERS:
        raise UsageError(f"no format {kind!r} to write: there are {', '.join(WRITERS)}")
    return WRITERS[kind](transcript)
