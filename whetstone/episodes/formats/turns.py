"""Paragraphs of prose as a conversation: what plain text and HTML transcripts share.

A paragraph may begin with a time and a name in either order ("[00:12:03] Ann:", "Ann (12:03)", "Ann: …"), or have
neither; a name and a time hold until the next ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from whetstone.episodes.formats import labels
from whetstone.episodes.formats.reading import Reading, checked, clock, name, tokens
from whetstone.episodes.transcript import Timing, Word

_TIME = r"(?:\d{1,3}:)?\d{1,3}:\d{2}(?:[.,]\d{1,3})?"
_RANGE = rf"(?P<time>{_TIME})(?:\s*(?:-+>?|\u2013|\u2014)\s*{_TIME})?"
_INSIDE = re.compile(rf"\[{_RANGE}\]", re.ASCII)
_ROUND = _RANGE.replace("time", "round")
_BRACKETED = re.compile(
    rf"\s*[*_]{{0,3}}(?:\[{_RANGE}\]|\({_ROUND}\))[*_]{{0,3}}\s*[-\u2013\u2014:]?\s*",
    re.ASCII,
)
_BARE = re.compile(rf"\s*{_RANGE}(?:\s*[-\u2013\u2014|:]\s+|\s+|$)", re.ASCII)
_NAME_THEN_TIME = re.compile(
    r"[*_#]{0,3}(?P<name>[^\W_][^:\[\]()<>\n]{0,60}?)[*_]{0,3}[\s:,|\u2013\u2014-]{0,6}"
    rf"(?P<between>[\[(]?){_RANGE}[\])]?(?P<after>\s?:?)[*_]{{0,3}}(?=\s|$)"
)
# Times without brackets are believed if so many paragraphs begin with one, or one of three.
_BARE_TIMES = 3


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph as it stands in the file; `speaker` and `start` where markup gave them."""

    text: str
    speaker: str = ""
    start: float | None = None


@dataclass(frozen=True, slots=True)
class _Turn:
    text: str
    start: float | None
    label: labels.Label | None  # still part of the text
    speaker: str
    goes_on: bool = False  # the same paragraph as the turn before


def reading(paragraphs: Sequence[Paragraph], kind: str, what: str, title: str = "") -> Reading:
    """The words of a conversation in paragraphs. Raises UsageError where there are none."""
    bare = _believe_bare_times(paragraphs)
    turns: list[_Turn] = []
    said = ""
    for paragraph in paragraphs:
        turn = _turn(paragraph, bare, labels.ends_a_sentence(said.rstrip()[-8:]))
        turns.append(turn)
        said = turn.text or said
    names = labels.names(turn.label for turn in turns if turn.label is not None)
    turns = [part for turn in turns for part in _parted(_named(turn, names))]
    ends = _ends(turns)
    words: list[Word] = []
    breaks = []
    speaker, start, end = "", None, None
    for turn, until in zip(turns, ends, strict=True):
        speaker = turn.speaker or speaker
        if turn.start is not None:
            start, end = turn.start, until
        if found := tokens(turn.text):
            if not turn.goes_on:
                breaks.append(len(words))
            words += [Word(text, start, end, speaker) for text in found]
    timing = Timing.CUE if any(word.start is not None for word in words) else Timing.NONE
    return Reading(checked(words, what), timing, frozenset(breaks), title=name(title), format=kind)


def _believe_bare_times(paragraphs: Sequence[Paragraph]) -> bool:
    """Whether "10:30 …" at the beginning of a paragraph is a time of this recording: several are, in order."""
    times = [
        time for each in paragraphs if (found := _BARE.match(each.text)) and (time := clock(found["time"])) is not None
    ]
    enough = len(times) >= _BARE_TIMES or (len(times) >= 1 and 3 * len(times) >= len(paragraphs))
    return enough and times == sorted(times)


def _turn(paragraph: Paragraph, bare: bool, fresh: bool) -> _Turn:
    text, start = paragraph.text.strip(), paragraph.start
    if found := _BRACKETED.match(text):
        start, text = clock(found["time"] or found["round"]), text[found.end() :]
    elif bare and (found := _BARE.match(text)):
        start, text = clock(found["time"]), text[found.end() :]
    elif start is None and (found := _NAME_THEN_TIME.match(text, 0, 160)) and _is_header(found):
        return _Turn(text[found.end() :], clock(found["time"]), None, name(found["name"]))
    return _Turn(text, start, labels.label(text, fresh, tight=True), paragraph.speaker)


def _is_header(found: re.Match[str]) -> bool:
    """ "Ann Lee 0:05" on a line of its own or "Ann Lee (0:05): …"; not "Dinner 10:30 was late"."""
    line = found.string[found.end() :].split("\n", 1)[0]
    sure = not line.strip() or found["between"] or ":" in found["after"]
    return bool(sure) and labels.label(f"{found['name'].strip()}:") is not None


def _named(turn: _Turn, names: frozenset[str]) -> _Turn:
    if turn.label is None or turn.label.name not in names:
        return turn
    return replace(turn, text=turn.text[turn.label.end :], speaker=turn.label.name, label=None)


def _parted(turn: _Turn) -> Iterator[_Turn]:
    """The turn, cut where a time in square brackets stands in the middle of it."""
    at, start, goes_on = 0, turn.start, False
    for found in _INSIDE.finditer(turn.text):
        if (time := clock(found["time"])) is not None:
            yield replace(turn, text=turn.text[at : found.start()], start=start, goes_on=goes_on)
            at, start, goes_on = found.end(), time, goes_on or bool(turn.text[at : found.start()].strip())
    yield replace(turn, text=turn.text[at:], start=start, goes_on=goes_on)


def _ends(turns: Sequence[_Turn]) -> list[float | None]:
    """For each turn with a time the next later time: its words are said until then, as far as anybody knows."""
    ends: list[float | None] = []
    following: float | None = None
    end: float | None = None
    for turn in reversed(turns):
        if turn.start is not None and turn.start != following:  # of equal times all end together
            end = following if following is not None and following > turn.start else None
            following = turn.start
        ends.append(end)
    return ends[::-1]
