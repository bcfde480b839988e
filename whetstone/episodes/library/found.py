"""What was looked for, marked where it stands; and excerpts in which people recognise a speaker."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

from whetstone.episodes.transcript import Transcript
from whetstone.text import printable

SAMPLES = 3  # excerpts of a speaker
SAMPLE_WORDS = 40


def marked(text: str, marks: Iterable[tuple[int, int]]) -> Markup:
    """The text with <mark> around each of `marks` (first character, the one after the last; in order, apart)."""
    pieces: list[Markup] = []
    done = 0
    for begin, end in marks:
        pieces += [escape(printable(text[done:begin])), Markup("<mark>{}</mark>").format(printable(text[begin:end]))]
        done = end
    return Markup("").join([*pieces, escape(printable(text[done:]))])


def samples(transcript: Transcript) -> dict[str, list[int]]:
    """Speaker -> segments that tell most of who it is: long ones, from all over the episode, in order."""
    said: dict[str, list[int]] = {}
    for segment in transcript.segments:
        if segment.speaker:
            said.setdefault(segment.speaker, []).append(segment.id)
    chosen: dict[str, list[int]] = {}
    for speaker, ids in said.items():
        parts = [ids[n * len(ids) // SAMPLES : (n + 1) * len(ids) // SAMPLES] for n in range(SAMPLES)]
        chosen[speaker] = [max(part, key=lambda each: _telling(transcript, each)) for part in parts if part]
    return chosen


def _telling(transcript: Transcript, segment: int) -> tuple[int, int]:
    found = transcript.segments[segment]
    return min(found.end - found.first, SAMPLE_WORDS), -segment
