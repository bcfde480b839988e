"""SubRip in and out. It has no written standard: what players and the podcast namespace agree on is taken."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from whetstone.episodes.formats import captions
from whetstone.episodes.formats.reading import Reading, shown_clock
from whetstone.episodes.transcript import Transcript
from whetstone.errors import UsageError

_NUMBER = re.compile(r"[ \t]*\d{1,7}[ \t]*", re.ASCII)
_POSITION = re.compile(r"\{\\[^{}\n]{0,100}\}")  # {\an8}, from SubStation
_MARKUP = re.compile(r"<(?=[a-zA-Z/\d])")


def read(text: str, what: str) -> Reading:
    """The words of an SRT file; `Name:` at the start of a card is its speaker, until another name stands there.

    Forgiven: dot for comma, missing numbers or empty lines, empty lines inside a card, markup. Raises UsageError where
    there are no words.
    """
    return captions.reading(list(captions.cues(_timed(text))), "srt", what)


def _timed(text: str) -> Iterator[tuple[re.Match[str], list[str]]]:
    """The cards: their lines of times, and all up to the next one but its number."""
    lines = text.split("\n")
    timings = [(at, found) for at, line in enumerate(lines) if (found := captions.timing(line))]
    ends = [at for at, _ in timings[1:]]
    for (at, found), end in zip(timings, [*ends, None], strict=True):
        payload = lines[at + 1 : end]
        if end is not None and payload and _NUMBER.fullmatch(payload[-1]):
            payload.pop()
        yield found, [_POSITION.sub("", line) for line in payload if line.strip()]


def write(transcript: Transcript) -> str:
    """The transcript as SRT, `Name:` on each card where the speaker changes; SRT cannot say that nobody is named.

    Raises UsageError where no word has a time.
    """
    if all(word.start is None for word in transcript.words):
        raise UsageError("this transcript has no times, so it cannot be written as SRT: write text or JSON")
    cards = []
    speaker = ""
    for number, group in enumerate(captions.groups(transcript), 1):
        words = [_escaped(word.text) for word in transcript.words[group.first : group.end]]
        if group.speaker and group.speaker != speaker:
            words[:0] = _escaped(f"{group.speaker}:").split()
            speaker = group.speaker
        body = "\n".join(captions.wrapped(words, 42))
        times = f"{shown_clock(group.start, ',')} --> {shown_clock(group.finish, ',')}"
        cards.append(f"{number}\n{times}\n{body}\n")
    return "\n".join(cards)


def _escaped(text: str) -> str:
    """Only what would be read as markup is written otherwise: SRT has no escapes of its own."""
    if html.unescape(text) != text:
        text = text.replace("&", "&amp;")
    return _MARKUP.sub("&lt;", text).replace("{\\", "&#123;\\")
