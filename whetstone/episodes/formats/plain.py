"""Plain text in and out: `[hh:mm:ss] Name: words`, with or without the time and the name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from whetstone.episodes.formats import labels, turns
from whetstone.episodes.formats.reading import Reading, shown_clock
from whetstone.episodes.formats.turns import Paragraph
from whetstone.episodes.transcript import Transcript

_TITLE = re.compile(r"\s*#{1,3}\s+(\S.{0,300})")
_TIMED = re.compile(r"\s*[*_]{0,3}[\[(]\d{1,3}:\d{2}", re.ASCII)


def read(text: str, what: str) -> Reading:
    """The words of a text: paragraphs are parted by empty lines, and a line that begins with a time or with a name
    that the text uses as one begins one too. A first line "# …" is the title. Raises UsageError where there are no
    words."""
    title = ""
    lines = text.strip("\n\f ").split("\n")
    if found := _TITLE.fullmatch(lines[0]):
        title, lines = found[1], lines[1:]
    return turns.reading(list(_paragraphs(lines)), "text", what, title)


def _paragraphs(lines: list[str]) -> Iterator[Paragraph]:
    every_line = _lines_are_turns(lines)
    gathered: list[str] = []
    for line in lines:
        begins = _TIMED.match(line) or (every_line and labels.label(line, tight=True) is not None)
        if gathered and (begins or not line.strip()):
            yield Paragraph("\n".join(gathered))
            gathered = []
        if line.strip():
            gathered.append(line)
    if gathered:
        yield Paragraph("\n".join(gathered))


def _lines_are_turns(lines: list[str]) -> bool:
    """Whether names also stand at the beginning of lines inside a paragraph, and one of them more than once."""
    found = [
        label.name for before, line in pairwise(lines) if before.strip() and (label := labels.label(line, tight=True))
    ]
    return len(found) > len(set(found)) or len(found) >= 2


def write(transcript: Transcript) -> str:
    """The transcript as plain text: a paragraph each, with its time (whole seconds) and its speaker."""
    starts = [each.first for each in transcript.segments if each.paragraph or not each.first]
    paragraphs = []
    for first, end in zip(starts, [*starts[1:], len(transcript.words)], strict=True):
        word = transcript.words[first]
        time = f"[{shown_clock(word.start, digits=0)}] " if word.start is not None else ""
        speaker = f"{word.speaker}: " if word.speaker else ""
        paragraphs.append(f"{time}{speaker}{transcript.text(first, end)}")
    return "\n\n".join(paragraphs) + "\n"
