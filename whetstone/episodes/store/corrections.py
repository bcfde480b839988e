"""Who says a single sentence, where a person put the transcript right. It outlives a transcript that is made again."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from whetstone.episodes.normal import tokens
from whetstone.episodes.store import schema
from whetstone.episodes.transcript import Transcript


@dataclass(frozen=True)
class Correction:
    """A segment's text and time (None: unknown), and the name that a person gave to whoever says it."""

    text: str
    start: float | None
    end: float | None
    name: str


def told(base: sqlite3.Connection, episode: int) -> list[Correction]:
    """All of an episode, by what was said and when."""
    rows = base.execute(
        """SELECT s.text, s.start, s.finish, o.name FROM overrides o JOIN segments s ON s.id = o.segment
        WHERE o.segment >= ? AND o.segment < ? ORDER BY o.segment""",
        (episode << schema.SHIFT, (episode + 1) << schema.SHIFT),
    )
    return [Correction(*row) for row in rows]


def found_again(corrections: Iterable[Correction], transcript: Transcript) -> dict[int, str]:
    """Segment -> name in another transcript of the same sound: where the same sentence is said (the nearest in time, of
    several), else where most of its words are said in its time."""
    placed: dict[int, str] = {}
    said = [_tokens(transcript.segment_text(each.id)) for each in transcript.segments]
    places: dict[tuple[str, ...], list[int]] = {}
    for segment, words in enumerate(said):
        places.setdefault(words, []).append(segment)
    for each in corrections:
        wanted = _tokens(each.text)
        same = [segment for segment in places.get(wanted, ()) if segment not in placed]
        if same:
            placed[min(same, key=lambda segment: _apart(transcript, segment, each))] = each.name
        else:
            placed |= {segment: each.name for segment in _inside(transcript, said, each, wanted)}
    return placed


def corrected(transcript: Transcript, names: Mapping[str, str], single: Mapping[int, str]) -> Transcript:
    """The transcript with its speakers called by `names`, and those of `single` segments as told there."""
    if not names and not single:
        return transcript
    words, segments = list(transcript.words), []
    for each in transcript.segments:
        shown = single.get(each.id, names.get(each.speaker, each.speaker))
        if shown != each.speaker:
            for at in range(each.first, each.end):
                words[at] = replace(words[at], speaker=shown)
        segments.append(replace(each, speaker=shown))
    return replace(transcript, words=tuple(words), segments=tuple(segments))


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(tokens(text)) or (text,)


def _apart(transcript: Transcript, segment: int, correction: Correction) -> tuple[float, int]:
    start = transcript.start(transcript.segments[segment].first)
    known = start is not None and correction.start is not None
    return (abs(start - correction.start) if known else 0.0), segment  # type: ignore[operator]


def _inside(
    transcript: Transcript, said: Sequence[tuple[str, ...]], correction: Correction, wanted: tuple[str, ...]
) -> list[int]:
    if correction.start is None or correction.end is None:
        return []
    found = []
    for each in transcript.segments:
        start, end = transcript.words[each.first].start, transcript.words[each.end - 1].end
        if start is None or end is None or not correction.start <= (start + end) / 2 <= correction.end:
            continue
        shared = (Counter(said[each.id]) & Counter(wanted)).total()
        if 2 * shared >= len(said[each.id]):
            found.append(each.id)
    return found
