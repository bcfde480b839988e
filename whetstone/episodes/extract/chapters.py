"""Chapters without a model: where the words change (TextTiling, Hearst 1997), titled by the phrases that are said there
and not elsewhere."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from whetstone.episodes.content import Chapter
from whetstone.episodes.extract.ranking import Vectors
from whetstone.episodes.lexicon import carries, stem
from whetstone.episodes.names import Names, capital
from whetstone.episodes.normal import tokens
from whetstone.episodes.transcript import Transcript

# about one chapter in so many words (six minutes of talk), and none shorter than that
WORDS_A_CHAPTER = 900
_FEWEST_WORDS = 350
_MOST = 24
# the words on either side of a border that are compared
_WINDOW = 160
# a phrase in a title: at most so many words
_LONGEST = 3
_ENDINGS = ("ing", "ed", "ly", "'s", "n't", "'re", "'ve", "'ll", "'d", "'m")


def chapters_of(
    transcript: Transcript, vectors_SV: Vectors, names: Names, questions: Collection[int], left_out: Collection[int]
) -> tuple[Chapter, ...]:
    """The chapters of a conversation. `questions`: the segments that ask; a border prefers one. `left_out`: segments
    (advertisements) whose words make no title."""
    if not transcript.segments:
        return ()
    borders = [0, *_borders(transcript, vectors_SV, questions)]
    spans = list(zip(borders, [*borders[1:], len(transcript.segments)], strict=True))
    phrases = [_phrases(transcript, range(first, end), names, left_out) for first, end in spans]
    spread = Counter(key for found in phrases for key in found)
    titles = _titles(phrases, spread)
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
    merit = {c: float(depth[c]) * (1.5 if _asks_soon(transcript, c, questions) else 1.0) for c in candidates}
    chosen: list[int] = []
    for candidate in sorted(candidates, key=lambda c: (-merit[c], c)):
        apart = all(abs(segments[candidate].first - segments[other].first) >= _FEWEST_WORDS for other in chosen)
        if apart and merit[candidate] > lowest:
            chosen.append(candidate)
        if len(chosen) == wanted:
            break
    return sorted(chosen)


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


def _phrases(
    transcript: Transcript, segments: Iterable[int], names: Names, left_out: Collection[int]
) -> dict[tuple[str, ...], tuple[float, str]]:
    """The phrases of a chapter by their stems: how often, with a name's weight, and as they are written."""
    people = {token for segment in transcript.segments for token in tokens(segment.speaker)}
    found: Counter[tuple[str, ...]] = Counter()
    written: dict[tuple[str, ...], str] = {}
    for segment in segments:
        if segment in left_out:
            continue
        place = transcript.segments[segment]
        for run in _runs(transcript, place.first, place.end):
            for size in range(1, _LONGEST + 1):
                for at in range(len(run) - size + 1):
                    words = run[at : at + size]
                    if tokens(words[-1])[0].endswith(_ENDINGS):
                        continue
                    # who speaks says nothing of what about
                    if any(tokens(word)[0] in people for word in words):
                        continue
                    key = tuple(stem(tokens(word)[0]) for word in words)
                    named = all(capital(word) and names.known(tokens(word)[0]) for word in words)
                    found[key] += 2 if named else 1
                    shown = (_shown(word, names) for word in words)
                    written.setdefault(key, " ".join(shown))
    return {key: (float(count), written[key]) for key, count in found.items()}


def _runs(transcript: Transcript, first: int, end: int) -> Iterator[list[str]]:
    """Stretches of words of content, as written, without a word of grammar or punctuation between them."""
    run: list[str] = []
    for word in transcript.words[first:end]:
        found = tokens(word.text)
        fits = len(found) == 1 and carries(found[0]) and len(found[0]) > 2 and not found[0][0].isdigit()
        if fits:
            run.append(word.text)
        if run and not (fits and word.text[-1].isalnum()):
            yield run
            run = []
    if run:
        yield run


def _shown(word: str, names: Names) -> str:
    text = word.strip(".,;:?!\"'“”‘’()[]")
    return text if names.known(tokens(text)[0]) else text.lower()


def _titles(phrases: Sequence[dict[tuple[str, ...], tuple[float, str]]], spread: Counter[tuple[str, ...]]) -> list[str]:
    """Two phrases a chapter that do not share a word; a phrase serves one chapter only."""
    titles = []
    taken: set[tuple[str, ...]] = set()
    for found in phrases:
        merit = {
            key: count * math.log(1 + len(phrases) / spread[key]) * (0.5 + 0.5 * len(key) if count > 1 else 0.4)
            for key, (count, _) in found.items()
        }
        chosen: list[tuple[str, ...]] = []
        for key in sorted(merit, key=lambda k: (-merit[k], k)):
            if len(chosen) < 2 and key not in taken and not any(set(key) & set(other) for other in chosen):
                chosen.append(key)
        taken.update(chosen)
        title = ", ".join(found[key][1] for key in chosen)
        titles.append(title[:1].upper() + title[1:] if title else "Untitled")
    return titles
