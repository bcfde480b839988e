"""Whose "I" a line is: who speaks in a line that repeats the transcript's own words."""

from __future__ import annotations

from whetstone.episodes.content import Line
from whetstone.episodes.normal import tokens
from whetstone.episodes.transcript import Transcript

_WORDS = "i me my mine myself we us our ours ourselves i'm i've i'd i'll we're we've we'd we'll"
_FIRST = frozenset(tokens(_WORDS))


def speaker_of(line: Line, transcript: Transcript) -> str:
    """The speaker of a line that says "I" or "we" in the words of the segments it cites, under the transcript's name;
    "" where it does not, or where these segments are not one person's."""
    said = tokens(line.text)
    if not _FIRST.intersection(said):
        return ""
    speakers = {transcript.segments[segment].speaker for segment in line.segments}
    if len(speakers) != 1:
        return ""
    there = tokens(" ".join(transcript.segment_text(segment) for segment in sorted(line.segments)))
    own = any(there[at : at + len(said)] == said for at in range(len(there) - len(said) + 1))
    return speakers.pop() if own else ""
