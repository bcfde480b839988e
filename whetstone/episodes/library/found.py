"""Search words in a text, marked; and excerpts in which people recognise a speaker."""

from __future__ import annotations

import re
import unicodedata

from markupsafe import Markup, escape

from whetstone.episodes.transcript import Transcript
from whetstone.text import printable

SAMPLES = 3  # excerpts of a speaker
SAMPLE_WORDS = 40


def folded(word: str) -> str:
    """Lower case without accents."""
    apart = unicodedata.normalize("NFD", word.casefold())
    return "".join(c for c in apart if not unicodedata.combining(c))


def marked(text: str, query: str) -> Markup:
    """The text with the words of the query in <mark>; a word also marks those that only add an ending to it.

    Beside longer words those of up to three letters ("the", "did") are not marked.
    """
    words = [folded(word) for word in re.findall(r"\w+", query)]
    wanted = [word for word in words if len(word) > 3 or not word.isascii() or word.isdigit()] or words
    pieces: list[Markup] = []
    for word, other in re.findall(r"(\w+)|(\W+)", printable(text)):
        hit = word and any(_fits(folded(word), each) for each in wanted)
        pieces.append(Markup("<mark>{}</mark>").format(word) if hit else escape(word or other))
    return Markup("").join(pieces)


def _fits(word: str, wanted: str) -> bool:
    return word == wanted or (len(wanted) >= 4 and word.startswith(wanted) and len(word) - len(wanted) <= 3)


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
