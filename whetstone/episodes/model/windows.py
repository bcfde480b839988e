"""A transcript in pieces that fit a model, every segment in at least one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whetstone.episodes.transcript import Transcript


@dataclass(frozen=True)
class Window:
    """Segments `first` to `end` (not included) and how they are written for a model."""

    first: int
    end: int
    text: str


def line(transcript: Transcript, segment: int) -> str:
    """`[12] Ada: words`: how a model sees a segment. The speaker is named at every line, for a window has no memory."""
    found = transcript.segments[segment]
    who = f"{found.speaker}: " if found.speaker else ""
    return f"[{segment}] {who}{transcript.segment_text(segment)}"


def windows(
    transcript: Transcript, count: Callable[[str], int], most: int, overlap: int = 1
) -> tuple[list[Window], list[int]]:
    """Windows of at most `most` tokens by `count`, each beginning with the last `overlap` segments of the one before;
    and the segments that are too long for any window, which nobody will read.

    Overlap is given up where it would leave no room for anything new.
    """
    lines = [line(transcript, segment.id) for segment in transcript.segments]
    costs = [count(text) + 1 for text in lines]
    left_out = [place for place, cost in enumerate(costs) if cost > most]
    found: list[Window] = []
    for first, end in _runs(len(lines), set(left_out)):
        start = first
        while start < end:
            begin = max(first, start - overlap)
            while sum(costs[begin : start + 1]) > most:
                begin += 1
            stop = start + 1
            while stop < end and sum(costs[begin : stop + 1]) <= most:
                stop += 1
            found.append(Window(begin, stop, "\n".join(lines[begin:stop])))
            start = stop
    return found, left_out


def halves(window: Window) -> list[Window]:
    """A window in two, for a model that did not manage the whole; one of a single segment has no halves."""
    lines = window.text.split("\n")
    middle = len(lines) // 2
    if not middle:
        return []
    cut = window.first + middle
    return [Window(window.first, cut, "\n".join(lines[:middle])), Window(cut, window.end, "\n".join(lines[middle:]))]


def covered(windows: Sequence[Window], read: Sequence[bool]) -> set[int]:
    """Segments in the windows that were read."""
    return {
        segment
        for window, was_read in zip(windows, read, strict=True)
        if was_read
        for segment in range(window.first, window.end)
    }


def _runs(count: int, without: set[int]) -> list[tuple[int, int]]:
    """Stretches of 0..count-1 that contain nothing of `without`."""
    runs, start = [], 0
    for place in [*sorted(without), count]:
        if place > start:
            runs.append((start, place))
        start = place + 1
    return runs
