"""Chapters without a model: where the words change (TextTiling, Hearst 1997)."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from whetstone.episodes.content import Chapter
from whetstone.episodes.extract.ranking import Vectors
from whetstone.episodes.extract.titles import titles_of
from whetstone.episodes.names import Names
from whetstone.episodes.transcript import Transcript

# about one chapter in so many words (five minutes of talk), and none shorter than that
WORDS_A_CHAPTER = 750
_FEWEST_WORDS = 350
_MOST = 24
_LONGEST_ASKING = 120  # words of a turn that asks
_ASKED = 2.0  # how much more a border counts at which somebody asks
# the words on either side of a border that are compared
_WINDOW = 160


def chapters_of(
    transcript: Transcript, vectors_SV: Vectors, names: Names, questions: Collection[int], left_out: Collection[int]
) -> tuple[Chapter, ...]:
    """The chapters of a conversation. `questions`: the segments that ask; a border prefers one. `left_out`: segments
    (advertisements) whose words make no title."""
    if not transcript.segments:
        return ()
    borders = [0, *_borders(transcript, vectors_SV, questions)]
    spans = list(zip(borders, [*borders[1:], len(transcript.segments)], strict=True))
    titles = titles_of(transcript, spans, names, questions, left_out)
    return tuple(Chapter(title, first) for title, (first, _) in zip(titles, spans, strict=True))


def _borders(transcript: Transcript, vectors_SV: Vectors, questions: Collection[int]) -> list[int]:
    """The segments that chapters after the first begin with, in order."""
    segments = transcript.segments
    total = len(transcript.words)
    wanted = min(_MOST, round(total / WORDS_A_CHAPTER)) - 1
    depth = _depths(transcript, vectors_SV)
    inside = [s for s in segments[1:] if _FEWEST_WORDS <= s.first <= total - _FEWEST_WORDS]
    openings = _openings(transcript)
    candidates = [s.id for s in inside if s.id in openings]
    if wanted < 1 or not candidates:
        return []
    lowest = float(np.mean(depth))
    # a question that somebody asks is where a listener hears a new matter begin
    merit = {c: float(depth[c]) * (_ASKED if _asks_soon(transcript, c, questions) else 1.0) for c in candidates}
    chosen: list[int] = []
    for candidate in sorted(candidates, key=lambda c: (-merit[c], c)):
        apart = all(abs(segments[candidate].first - segments[other].first) >= _FEWEST_WORDS for other in chosen)
        if apart and merit[candidate] > lowest:
            chosen.append(candidate)
        if len(chosen) == wanted:
            break
    return sorted({_asked_before(transcript, segment, questions) for segment in chosen})


def _asked_before(transcript: Transcript, segment: int, questions: Collection[int]) -> int:
    """Where the turn before a border asks what is answered after it, that turn's beginning; else the border."""
    segments = transcript.segments
    first = segment - 1
    speaker = segments[first].speaker
    if not speaker or speaker == segments[segment].speaker or not {segment - 1, segment - 2} & set(questions):
        return segment
    while first and segments[first - 1].speaker == speaker:
        first -= 1
    short = segments[segment].first - segments[first].first <= _LONGEST_ASKING
    return first if short and first else segment


def _openings(transcript: Transcript) -> set[int]:
    """Where a chapter may begin: with a turn where people are named, else with a paragraph, else anywhere."""
    segments = transcript.segments
    turns = {s.id for s in segments[1:] if s.speaker != segments[s.id - 1].speaker}
    return turns or {s.id for s in segments[1:] if s.paragraph} or {s.id for s in segments[1:]}


def _asks_soon(transcript: Transcript, segment: int, questions: Collection[int]) -> bool:
    """Whether the turn that begins here asks something."""
    segments = transcript.segments
    at = segment
    while at < len(segments) and at < segment + 8 and segments[at].speaker == segments[segment].speaker:
        if at in questions:
            return True
        at += 1
    return False


def _depths(transcript: Transcript, vectors_SV: Vectors) -> NDArray[np.float64]:
    """How deep the likeness of what is before and after each segment's beginning falls below its surroundings [S]."""
    firsts = np.array([s.first for s in transcript.segments])
    gaps = np.arange(len(firsts))
    low = np.minimum(np.searchsorted(firsts, firsts - _WINDOW), np.maximum(gaps - 1, 0))
    high = np.maximum(np.searchsorted(firsts, firsts + _WINDOW), gaps + 1)
    before_SV, after_SV = _sums(low, gaps) @ vectors_SV, _sums(gaps, high) @ vectors_SV
    together = np.asarray(before_SV.multiply(after_SV).sum(axis=1)).ravel()
    norms = np.sqrt(
        np.asarray(before_SV.multiply(before_SV).sum(axis=1)).ravel()
        * np.asarray(after_SV.multiply(after_SV).sum(axis=1)).ravel()
    )
    likeness = np.divide(together, norms, out=np.zeros(len(firsts)), where=norms > 1e-9)
    if len(firsts) > 1:
        likeness[0] = likeness[1]
    smooth = np.convolve(np.pad(likeness, 1, mode="edge"), np.ones(3) / 3, mode="valid")
    return np.array([_peak(smooth[: gap + 1][::-1]) + _peak(smooth[gap:]) for gap in gaps])


def _sums(low: NDArray[np.intp], high: NDArray[np.intp]) -> csr_array:
    """A matrix that adds rows `low[i]` to `high[i]` (not included) into row `i`."""
    sizes = high - low
    columns = np.concatenate([np.arange(first, end) for first, end in zip(low, high, strict=True)])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return csr_array((np.ones(len(columns)), columns, starts), shape=(len(low), len(low)))


def _peak(away: NDArray[np.float64]) -> float:
    """How far the likeness climbs, going away from a border, before it falls again."""
    top = away[0]
    for value in away[1:]:
        if value < top:
            break
        top = value
    return float(top - away[0])
