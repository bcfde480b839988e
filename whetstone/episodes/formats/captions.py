"""What WebVTT and SRT share: timing lines, the markup inside a cue, rolling captions, and who speaks in which cue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from whetstone.episodes.formats import labels
from whetstone.episodes.formats.reading import Reading, checked, clock, name, tokens, unescaped
from whetstone.episodes.transcript import Timing, Transcript, Word

_STAMP = r"(?:\d{1,4}:)?\d{1,2}:\d{1,2}(?:[.,]\d{1,6})?"
_TIMING_LINE = re.compile(rf"[ \t]*({_STAMP})[ \t]*--+>[ \t]*({_STAMP})?(?:[ \t]+[^\n]*)?", re.ASCII)
_TAG = re.compile(r"<(?:(?P<time>[\d:.]{5,16})|(?P<close>/)?(?P<name>[a-zA-Z]\w{0,30})?(?P<rest>[^<>\n]{0,1000}))>")
_VOICE = re.compile(r"(?:\.[^\s<>]*)?(?:\s+(?P<name>.*))?", re.DOTALL)
_CHEVRONS = re.compile(r"\s*(?:>{2,}|(?:&gt;){2,})\s*")
# Of the neighbours in a file, so many repeat a line when its captions roll; and so few when they do not.
_ROLLING_SHARE = 0.5
_GOING_ON_SHARE = 0.3  # of the cues that repeat, so many also say something new
_ADJACENT = 0.5  # seconds between two cues that may still be one rolling text
# A file that names the speaker in every cue repeats a name far more often than one that names only changes.
_REPEATS_IN_A_FILE_OF_CHANGES = 1 / 3


@dataclass(slots=True)
class Run:
    """Words of a cue that share a speaker and, where the cue has times inside, a time. `speaker` None: not said."""

    words: list[str]
    speaker: str | None = None
    start: float | None = None
    end: float | None = None


@dataclass(slots=True)
class Cue:
    """One caption. `lines`: words in each of its lines. `label`: what may be a speaker's name at its beginning."""

    start: float
    end: float | None
    runs: list[Run]
    lines: list[int]
    label: labels.Label | None = None
    turn: bool = False  # it begins with ">>": somebody else speaks
    speaker: str = field(default="")
    dropped: int = 0  # words at its beginning that an earlier cue said already

    @property
    def words(self) -> list[str]:
        """Its words in order, those that roll or name included."""
        return [word for run in self.runs for word in run.words]


@dataclass(frozen=True)
class Group:
    """Words `first` to `end` of a transcript that a writer puts into one cue."""

    first: int
    end: int
    start: float
    finish: float
    speaker: str


def timing(line: str) -> re.Match[str] | None:
    """The times of a line that opens a cue, None for another line."""
    return _TIMING_LINE.fullmatch(line) if "-->" in line else None


def cues(timed: Iterable[tuple[re.Match[str], Sequence[str]]]) -> Iterator[Cue]:
    """The cues that have words, from (their line of times, their lines of text) in the order of the file. A cue whose
    start is no time is left out."""
    said = ""
    for times, payload in timed:
        start = clock(times[1])
        found = None if start is None else _cue(start, clock(times[2] or ""), payload, labels.ends_a_sentence(said))
        if found is not None:
            said = found.runs[-1].words[-1]
            yield found


def _cue(start: float, end: float | None, payload: Sequence[str], fresh: bool) -> Cue | None:
    """The cue with these lines of text, None where it has no words. fresh: the cue before it ended a sentence."""
    found = Cue(start, end, [], [])
    opening = _without_tags(payload[0]) if payload else ""
    found.label = labels.label(opening, fresh)
    if found.label is None and (chevrons := _CHEVRONS.match(opening)) and chevrons.end():
        found.turn = True
    speaker: str | None = None
    moment: float | None = None
    for line in payload:
        count = 0
        for part, voice, time in _parts(line, speaker, moment):
            speaker, moment = voice, time
            if words := tokens(unescaped(part)):
                count += len(words)
                _add(found.runs, words, speaker, moment)
            elif moment is not None and found.runs and found.runs[-1].end is None:
                found.runs[-1].end = moment
        found.lines.append(count)
    if found.turn and found.runs and set(found.runs[0].words[0]) == {">"}:
        found.dropped = 1
    return found if found.runs else None


def _add(runs: list[Run], words: list[str], speaker: str | None, moment: float | None) -> None:
    if runs and moment is not None and runs[-1].end is None:
        runs[-1].end = moment
    if runs and moment is None and runs[-1].start is None and runs[-1].speaker == speaker:
        runs[-1].words += words
    else:
        runs.append(Run(words, speaker, moment))


def _parts(line: str, speaker: str | None, moment: float | None) -> Iterator[tuple[str, str | None, float | None]]:
    """The text between voices and times, with the voice and the time that hold for it; other markup is left out, also
    in the middle of a word. The last part is always given."""
    if "<" not in line:
        yield line, speaker, moment
        return
    at, text = 0, ""
    for tag in _TAG.finditer(line):
        kind = (tag["name"] or "").lower()
        if tag["time"] is None and not kind and tag["rest"].strip():
            continue  # "a < b and c > d": no tag
        text += line[at : tag.start()]
        at = tag.end()
        if tag["time"] is not None and (time := clock(tag["time"])) is not None:
            yield text, speaker, moment
            text, moment = "", time
        elif kind == "v":
            yield text, speaker, moment
            said = _VOICE.fullmatch(tag["rest"])
            text, speaker = "", None if tag["close"] else name(unescaped((said and said["name"]) or ""))
        elif kind == "br":
            text += " "
    yield text + line[at:], speaker, moment


def _without_tags(line: str) -> str:
    return _TAG.sub("", line) if "<" in line else line


def reading(cues: list[Cue], kind: str, what: str) -> Reading:
    """The words of all cues. `kind`: the format's name; `what`: the file's, for messages. Raises UsageError."""
    notes = []
    if any(later.start < earlier.start for earlier, later in pairwise(cues)):
        cues = sorted(cues, key=lambda each: each.start)
        notes.append("cues were not in order of time: sorted")
    if (rolled := _roll(cues)) > 0:
        notes.append(f"rolling captions: {rolled} words that repeat the line before were left out")
    _name_speakers(cues)
    _close(cues)
    words: list[Word] = []
    breaks = []
    stamped = single = 0
    for each in cues:
        if each.turn:
            breaks.append(len(words))
        skip = each.dropped
        for run in each.runs:
            texts = run.words[skip:] if skip else run.words
            skip = max(0, skip - len(run.words))
            speaker = each.speaker if run.speaker is None else run.speaker
            start = each.start if run.start is None else run.start
            end = each.end if run.end is None else run.end
            words += [Word(text, start, end, speaker) for text in texts]
            stamped += (run.start is not None or len(each.runs) == len(texts) == 1) * len(texts)
            single += len(texts) == 1
    timing = Timing.WORD if words and 2 * stamped >= len(words) and single * 10 >= 7 * len(words) else Timing.CUE
    return Reading(checked(words, what), timing, frozenset(breaks), format=kind, notes=tuple(notes))


def _roll(cues: list[Cue]) -> int:
    """Mark words that captions repeat from the one before, if this file's captions roll; returns how many."""
    overlaps = [0] * len(cues)
    near = 0
    for at in range(1, len(cues)):
        earlier, later = cues[at - 1], cues[at]
        if later.start - (earlier.end if earlier.end is not None else earlier.start) <= _ADJACENT:
            near += 1
            overlaps[at] = _repeated(earlier, later)
    rolling = sum(map(bool, overlaps))
    # what only repeats ("No." "No." "No.") may have been said so; captions that roll also go on
    going_on = sum(0 < overlap < len(each.words) for each, overlap in zip(cues, overlaps, strict=True))
    if rolling < 3 or rolling < _ROLLING_SHARE * near or going_on < max(2, _GOING_ON_SHARE * rolling):
        return 0
    for each, overlap in zip(cues, overlaps, strict=True):
        each.dropped = max(each.dropped, overlap)
        if overlap and each.label is not None and each.label.count <= overlap:
            each.label = None
    return sum(overlaps)


def _repeated(earlier: Cue, later: Cue) -> int:
    """How many words at the beginning of `later` are the last whole lines of `earlier`, the most lines first."""
    before, after = earlier.words, later.words
    for first in range(len(earlier.lines)):
        tail = sum(earlier.lines[first:])
        if 0 < tail <= len(after) and before[len(before) - tail :] == after[:tail]:
            return tail
    return 0


def _name_speakers(cues: list[Cue]) -> None:
    """Voices hold for their cue; in a file that marks only changes, and after a label, for the cues that follow."""
    names = labels.names(each.label for each in cues if each.label is not None)
    carry = _marks_only_changes(cues, names)
    current, labelled = "", False
    for each in cues:
        if each.label is not None and each.label.name in names and each.runs[0].speaker in (None, each.label.name):
            current, labelled = each.label.name, True
            each.dropped = max(each.dropped, each.label.count)
        elif any(run.speaker is not None for run in each.runs):
            each.speaker = ""
            current, labelled = each.runs[-1].speaker or "", False
            continue
        elif each.turn or not (carry or labelled):
            current = ""
        each.speaker = current


def _marks_only_changes(cues: Sequence[Cue], names: frozenset[str]) -> bool:
    named = []
    for each in cues:
        if each.label is not None and each.label.name in names:
            named.append((each.label.name, each.label.name))
        elif each.runs[0].speaker is not None:
            named.append((each.runs[0].speaker, each.runs[-1].speaker or ""))
    repeats = sum(earlier[1] == later[0] for earlier, later in pairwise(named))
    return repeats <= _REPEATS_IN_A_FILE_OF_CHANGES * len(named)


def _close(cues: list[Cue]) -> None:
    """Give every cue an end: where it is missing or before the start, the next cue's start."""
    following: float | None = None
    for each in reversed(cues):
        if each.end is None or each.end < each.start:
            each.end = following if following is not None and following > each.start else None
        following = each.start


def groups(transcript: Transcript, most_characters: int = 84, most_seconds: float = 7.0) -> Iterator[Group]:
    """The cues to write: the cues that were read where words have their times from cues, else pieces of segments.

    Words without a time go with those before them; the first ones with those after. Raises ValueError where no word
    has a time.
    """
    words = transcript.words
    begin = next(word.start for word in words if word.start is not None)
    segment_of = [each.id for each in transcript.segments for _ in range(each.first, each.end)]
    first, start, finish = 0, begin, begin
    length = 0
    for at, word in enumerate(words):
        time = start if word.start is None else word.start
        if at > first:
            before = words[at - 1]
            if transcript.timing == Timing.CUE:
                split = word.start is not None and (word.start, word.end) != (before.start, before.end)
            else:
                split = (
                    segment_of[at] != segment_of[at - 1]
                    or length + len(word.text) > most_characters
                    or time - start > most_seconds
                )
            if split or word.speaker != before.speaker:
                yield Group(first, at, start, _shown_until(start, finish, at - first), before.speaker)
                first, start, finish, length = at, max(time, start), max(time, start), 0
        length += len(word.text) + 1
        finish = max(finish, time if word.end is None else word.end)
    yield Group(first, len(words), start, _shown_until(start, finish, len(words) - first), words[-1].speaker)


def _shown_until(start: float, finish: float, words: int) -> float:
    """A cue without an end must be seen all the same: as long as its words take to say at an ordinary pace."""
    return finish if finish > start else round(start + 0.4 * words, 3)


def wrapped(words: Sequence[str], width: int) -> list[str]:
    """The words in lines of about `width` characters."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines
