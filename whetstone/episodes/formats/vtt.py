"""WebVTT in and out (https://www.w3.org/TR/webvtt1/), with the podcast namespace's convention for speakers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from whetstone.episodes.formats import captions, labels
from whetstone.episodes.formats.reading import Reading, shown_clock
from whetstone.episodes.transcript import Timing, Transcript, Word
from whetstone.errors import UsageError

_BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)(?:[ \t].*)?")
_LANGUAGE = re.compile(r"Language:[ \t]*([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*)[ \t]*", re.IGNORECASE)


def read(text: str, what: str) -> Reading:
    """The words of a WebVTT file. `what` names it in messages. Raises UsageError where it has none.

    Forgiven: comma for dot, hours of any length, cues out of order or overlapping, an end that is missing, rolling
    captions. `<v Name>` holds for its cue, and for those that follow in a file that names only changes.
    """
    found = captions.reading(list(captions.cues(_timed(text))), "vtt", what)
    header = text[:2000].split("\n\n", 1)[0]
    for line in header.split("\n")[1:]:
        if language := _LANGUAGE.fullmatch(line):
            return Reading(
                found.words, found.timing, found.breaks, language=language[1], format="vtt", notes=found.notes
            )
    return found


def _timed(text: str) -> Iterator[tuple[re.Match[str], list[str]]]:
    """The cues: their lines of times, and what follows up to an empty line or the next cue."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        if _BLOCK.fullmatch(lines[at]) and (at == 0 or not lines[at - 1].strip()):
            while at < len(lines) and lines[at] and "-->" not in lines[at]:
                at += 1
        found = captions.timing(lines[at]) if at < len(lines) else None
        at += 1
        if found is None:
            continue
        begin = at
        # a line of spaces alone is a line of the cue: captions that roll have them
        while at < len(lines) and lines[at] and not captions.timing(lines[at]):
            at += 1
        payload = lines[begin:at]
        if at < len(lines) and payload and "-->" in lines[at] and payload[-1].strip().isdigit():
            payload.pop()  # the next cue's number: the empty line before it is missing
        yield found, payload


def write(transcript: Transcript) -> str:
    """The transcript as WebVTT: every cue names its speaker; words keep their own times, where they have some.

    Raises UsageError where no word has a time.
    """
    if all(word.start is None for word in transcript.words):
        raise UsageError("this transcript has no times, so it cannot be written as WebVTT: write text or JSON")
    header = f"Language: {transcript.language}"
    blocks = [f"WEBVTT\n{header}" if _LANGUAGE.fullmatch(header) else "WEBVTT"]
    before = ""
    for group in captions.groups(transcript):
        words = transcript.words[group.first : group.end]
        # nobody's words after somebody's: an empty voice, so that the name is not carried on
        voice = f"<v {_escaped(group.speaker)}>" if group.speaker else "<v>" if before else ""
        before = group.speaker
        texts = _texts(words)
        if transcript.timing == Timing.WORD:
            body = _stamped(texts, words, group.start, group.finish)
        else:
            body = "\n".join(captions.wrapped(texts, 42))
        blocks.append(f"{shown_clock(group.start)} --> {shown_clock(group.finish)}\n{voice}{body}")
    return "\n\n".join(blocks) + "\n"


def _texts(words: tuple[Word, ...]) -> list[str]:
    """The words as WebVTT has them. What would be read as a name at the beginning gets its colon in other writing."""
    texts = [_escaped(word.text) for word in words]
    if (found := labels.label(" ".join(texts[:8]))) is not None:
        texts[found.count - 1] = texts[found.count - 1].replace(":", "&#58;")
    return texts


def _stamped(texts: list[str], words: tuple[Word, ...], start: float, finish: float) -> str:
    """The words with their times between them. A time must be later than the one before, or it is left out."""
    parts: list[str] = []
    now = start
    for at, (text, word) in enumerate(zip(texts, words, strict=True)):
        stamp = ""
        if word.start is not None and now < word.start < finish:
            now = word.start
            stamp = f"<{shown_clock(now)}>"
        parts.append(stamp + text)
        follows = words[at + 1].start if at + 1 < len(words) else finish
        if word.end is not None and now < word.end < finish and (follows is None or word.end < follows):
            now = word.end
            parts.append(f"<{shown_clock(now)}>")
    return " ".join(parts)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
