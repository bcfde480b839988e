"""Windows against their promises, on any transcript."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from whetstone.episodes.model.windows import covered, windows
from whetstone.episodes.transcript import Origin, Segment, Timing, Transcript, Word


def of_lengths(lengths: list[int]) -> Transcript:
    words, segments = [], []
    for place, length in enumerate(lengths):
        segments.append(Segment(place, len(words), len(words) + length, "AB"[place % 2]))
        words += [Word("w")] * length
    return Transcript(tuple(words), tuple(segments), Timing.NONE, Origin.PUBLISHER)


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(8, 60), st.integers(0, 2))
def test_every_segment_is_in_a_window_or_named(lengths: list[int], most: int, overlap: int) -> None:
    transcript = of_lengths(lengths)
    found, left_out = windows(transcript, lambda text: len(text.split()), most, overlap)
    everything = set(range(len(lengths)))
    assert covered(found, [True] * len(found)) | set(left_out) == everything
    assert not covered(found, [True] * len(found)) & set(left_out)
    for window in found:
        assert sum(len(text.split()) + 1 for text in window.text.split("\n")) <= most
        assert [text.split("]")[0] for text in window.text.split("\n")] == [
            f"[{place}" for place in range(window.first, window.end)
        ]
    for left, right in pairwise(found):
        assert right.first <= left.end or (left.end in left_out and right.end > left.end)


def test_neighbours_overlap() -> None:
    found, _ = windows(of_lengths([3] * 12), lambda text: len(text.split()), 22, 1)
    assert all(right.first == left.end - 1 for left, right in pairwise(found))
