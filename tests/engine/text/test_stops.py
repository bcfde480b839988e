"""Stop strings: the same cut as a search of the whole text, however the text is split."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.text.streams import split
from whetstone.engine.text.stops import StopStrings
from whetstone.errors import UsageError

LETTERS = st.text("abé", max_size=14)
STOPS = st.lists(st.text("abé", min_size=1, max_size=4), max_size=4)


def cut(text: str, stops: list[str]) -> tuple[str, str | None]:
    """By trying every end: the earliest one at which a stop string ends, then the longest of those."""
    for end in range(len(text) + 1):
        matches = [stop for stop in stops if text[:end].endswith(stop)]
        if matches:
            longest = max(matches, key=len)
            return text[: end - len(longest)], longest
    return text, None


@settings(deadline=None)
@given(LETTERS, STOPS, st.lists(st.integers(0, 14), max_size=8))
def test_any_split_cuts_at_the_earliest_match(text: str, stops: list[str], cuts: list[int]) -> None:
    stream = StopStrings(stops)
    seen = shown = ""
    for piece in split(text, cuts):
        seen += piece
        shown += stream.feed(piece)
        if stream.matched is None:  # exactly what may still become a stop string is held back
            held = max((k for stop in stops for k in range(len(stop)) if seen.endswith(stop[:k])), default=0)
            assert shown == seen[: len(seen) - held]
    shown += stream.finish()
    assert (shown, stream.matched) == cut(text, stops)


def test_nothing_follows_a_match() -> None:
    stream = StopStrings(["\n\n", "END"])
    assert [stream.feed(piece) for piece in ["one\n", "two\n", "\nthree", "END"]] == ["one", "\ntwo", "", ""]
    assert stream.matched == "\n\n" and stream.finish() == ""


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        StopStrings(["a", ""])


def test_a_megabyte_of_near_matches() -> None:
    """An end that nearly matches at every place: a search that goes back would take hours."""
    stop = "<" * 5_000 + "!"
    stream = StopStrings([stop])
    shown = "".join(stream.feed("<" * 100) for _ in range(10_000)) + stream.finish()
    assert shown == "<" * 1_000_000
