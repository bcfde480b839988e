"""What was said: words with their times and speakers, and the segments, about a sentence each, that all else cites."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Timing(StrEnum):
    """How well times are known: for each word, for each cue (a word's time is then its cue's), or not at all."""

    WORD = "word"
    CUE = "cue"
    NONE = "none"


class Origin(StrEnum):
    """Who wrote the transcript down: whoever published the episode, or a recogniser."""

    PUBLISHER = "publisher"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it is written, punctuation attached. Times in seconds from the start, None where unknown.

    `probability` is a recogniser's own, None for a publisher's words. `speaker` is "" where nobody is named.
    `doubtful`: a recogniser repeated itself here, or another one heard something else.
    """

    text: str
    start: float | None = None
    end: float | None = None
    speaker: str = ""
    probability: float | None = None
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """Words `first` to `end` (not included) of a transcript: about one sentence, of one speaker. `id` counts from 0.

    `paragraph`: a new one begins here.
    """

    id: int
    first: int
    end: int
    speaker: str = ""
    paragraph: bool = False


@dataclass(frozen=True)
class Transcript:
    """Every word is in exactly one segment, and segments are in order."""

    words: tuple[Word, ...]
    segments: tuple[Segment, ...]
    timing: Timing
    origin: Origin
    language: str = ""

    def text(self, first: int, end: int) -> str:
        """The transcript's own characters of words `first` to `end` (not included)."""
        return " ".join(word.text for word in self.words[first:end])

    def segment_text(self, segment: int) -> str:
        """The text of one segment."""
        found = self.segments[segment]
        return self.text(found.first, found.end)

    def start(self, word: int) -> float | None:
        """When a word begins, in seconds; None where nobody knows."""
        return self.words[word].start
