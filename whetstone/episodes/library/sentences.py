"""Which sentences are shown together when somebody puts right who says them: a turn and a little around it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from whetstone.episodes.transcript import Transcript

AROUND = 2  # sentences before and after a turn: that is where its borders are wrong
MOST = 80  # sentences on a page; a longer turn comes in parts


@dataclass(frozen=True)
class Stretch:
    """Segments `first` to `end` (not included) to show, and of them those of the turn."""

    first: int
    end: int
    turn_first: int
    turn_end: int


def stretch(transcript: Transcript, at: int) -> Stretch:
    """What stands around segment `at`. Raises IndexError for one that is not there."""
    segments = transcript.segments
    speaker = segments[at].speaker
    first = at
    while first and segments[first - 1].speaker == speaker:
        first -= 1
    end = at + 1
    while end < len(segments) and segments[end].speaker == speaker:
        end += 1
    # of a long turn the part that `at` lies in: so two links lead through all of it
    first += (at - first) // MOST * MOST
    end = min(end, first + MOST)
    return Stretch(max(0, first - AROUND), min(len(segments), end + AROUND), first, end)


def corrections(form: Mapping[str, str]) -> dict[int, str]:
    """Segment -> name, "" for the transcript's own, as the form tells it: a box for each sentence, and one that goes
    before them for the whole turn."""
    told = {int(found[1]): name for key, name in form.items() if (found := re.fullmatch(r"said:(\d{1,7})", key))}
    turn = re.fullmatch(r"(\d{1,7})-(\d{1,7})", form.get("turn", ""))
    if turn and form.get("all", "").strip():
        told |= {segment: form["all"] for segment in told if int(turn[1]) <= segment < int(turn[2])}
    return told
