"""The podcast namespace's JSON transcripts in and out, and the JSON of Whisper-like recognisers in.

A segment has speaker, startTime, endTime and body; one word each, or a sentence or more. A newline in a body ends a
paragraph. Recognisers write start, end, text and words with probabilities; those words are marked as a machine's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from whetstone.episodes.formats.reading import Reading, checked, name, seconds, tokens
from whetstone.episodes.transcript import Origin, Timing, Transcript, Word
from whetstone.errors import UsageError

_LISTS = ("segments", "transcript", "cues", "monologues", "words")
_BODIES = ("body", "text", "word", "value")
_STARTS, _ENDS = ("startTime", "start", "start_time", "from"), ("endTime", "end", "end_time", "to")
_SURENESS = ("probability", "confidence", "score")
_LABELS = ("speaker", "speaker_name", "speakerName", "name")
_WORD_SHARE = 0.9  # of segments with one word, for a file that gives a time to each


def read(text: str, what: str) -> Reading:
    """The words of a JSON transcript. `what` names the file in messages. Raises UsageError for broken JSON or a shape
    that holds no segments."""
    found = _parsed(text, what)
    items = found if isinstance(found, list) else _items(found)
    if items is None:
        raise UsageError(f"{what} is JSON, but holds no list of segments: is it a transcript?")
    builder = _Builder()
    skipped = sum(not builder.add(item) for item in items)
    about = found if isinstance(found, dict) else {}
    language = about.get("language", "")
    notes = (f"{skipped} entries without words were left out",) if skipped else ()
    return Reading(
        checked(builder.words, what),
        builder.timing(),
        frozenset(builder.breaks),
        Origin.MACHINE if builder.recognised or about.get("origin") == Origin.MACHINE else Origin.PUBLISHER,
        name(language) if isinstance(language, str) else "",
        format="json",
        notes=notes,
    )


def _parsed(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{what} is broken JSON: {error.msg} in line {error.lineno}") from None
    except (ValueError, RecursionError):
        raise UsageError(
            f"{what} is JSON that nobody meant: nested too deeply, or a number of thousands of digits"
        ) from None


def _items(found: object) -> list[Any] | None:
    """The list of segments, also one level further in ("results": {"segments": …})."""
    if not isinstance(found, dict):
        return None
    for key in _LISTS:
        if isinstance(found.get(key), list):
            return list(found[key])
    for inner in found.values():
        if isinstance(inner, dict):
            for key in _LISTS:
                if isinstance(inner.get(key), list):
                    return list(inner[key])
    return None


class _Builder:
    """Words as the segments come in."""

    def __init__(self) -> None:
        self.words: list[Word] = []
        self.breaks: list[int] = []
        self.recognised = False
        self._timed = self._segments = self._of_one_word = 0
        self._paragraph = False  # the next word begins one

    def add(self, item: object) -> bool:
        """Take one segment; False where it holds no words."""
        if not isinstance(item, dict):
            return False
        speaker = _text(item, _LABELS)
        inner = item.get("words")
        if isinstance(inner, list) and (pieces := [each for each in inner if isinstance(each, dict)]):
            self.recognised = True
            begin = len(self.words)
            for piece in pieces:
                self._say(_body(piece), piece, name(_text(piece, _LABELS)) or name(speaker), None)
            return len(self.words) > begin
        self.recognised |= "no_speech_prob" in item or "avg_logprob" in item
        return self._say(_body(item), item, name(speaker), _number(item, _SURENESS))

    def _say(self, body: str, item: Mapping[str, Any], speaker: str, sureness: float | None) -> bool:
        start, end = seconds(_first(item, _STARTS)), seconds(_first(item, _ENDS))
        if start is not None and end is not None and end < start:
            end = None
        probability = _number(item, _SURENESS) if sureness is None else sureness
        self.recognised |= probability is not None
        begin = len(self.words)
        for number, line in enumerate(body.replace("\r", "\n").split("\n")):
            self._paragraph |= number > 0 and bool(self.words)
            if found := tokens(line):
                if self._paragraph:
                    self.breaks.append(len(self.words))
                self._paragraph = False
                self.words += [Word(word, start, end, speaker, probability) for word in found]
        count = len(self.words) - begin
        if count:
            self._segments += 1
            self._of_one_word += count == 1
            self._timed += start is not None
        return count > 0

    def timing(self) -> Timing:
        """Words have their own times where nearly every entry is one word."""
        if not self._timed:
            return Timing.NONE
        return Timing.WORD if self._of_one_word >= _WORD_SHARE * self._segments else Timing.CUE


def _first(item: Mapping[str, Any], keys: tuple[str, ...]) -> object:
    return next((item[key] for key in keys if item.get(key) is not None), None)


def _text(item: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    found = _first(item, keys)
    if isinstance(found, dict):  # {"speaker": {"name": "…"}}
        found = found.get("name")
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 1000:
        return f"Speaker {found}"
    return found if isinstance(found, str) else ""


def _body(item: Mapping[str, Any]) -> str:
    found = _first(item, _BODIES)
    return found if isinstance(found, str) else ""


def _number(item: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
    found = _first(item, keys)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1:
        return None
    return float(found)


def write(transcript: Transcript) -> str:
    """The transcript as podcast-namespace JSON (version 1.0.0): an entry a word where words have times, a cue where
    cues have, a paragraph where nothing has. Times that nobody knows are left out."""
    paragraphs = {each.first for each in transcript.segments if each.paragraph} | {len(transcript.words)}
    content: dict[str, Any] = {"version": "1.0.0"}
    if transcript.language:
        content["language"] = transcript.language
    if transcript.origin == Origin.MACHINE:
        content["origin"] = Origin.MACHINE.value
    content["segments"] = [_entry(transcript, first, end, end in paragraphs) for first, end in _spans(transcript)]
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _spans(transcript: Transcript) -> Iterator[tuple[int, int]]:
    words = transcript.words
    if transcript.timing == Timing.WORD:
        yield from ((at, at + 1) for at in range(len(words)))
        return
    starts = {each.first for each in transcript.segments if each.paragraph} | {0}
    for at in range(1, len(words)):
        before, word = words[at - 1], words[at]
        if (before.speaker, before.start, before.end) != (word.speaker, word.start, word.end):
            starts.add(at)
    edges = [*sorted(starts), len(words)]
    yield from pairwise(edges)


def _entry(transcript: Transcript, first: int, end: int, ends_paragraph: bool) -> dict[str, Any]:
    word = transcript.words[first]
    entry: dict[str, Any] = {"speaker": word.speaker} if word.speaker else {}
    if word.start is not None:
        entry["startTime"] = word.start
    if word.end is not None:
        entry["endTime"] = word.end
    if word.probability is not None and end == first + 1:
        entry["probability"] = round(word.probability, 4)
    return entry | {"body": transcript.text(first, end) + ("\n" if ends_paragraph else "")}
