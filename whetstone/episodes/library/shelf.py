"""What the library's pages need of a store, and nothing of how it keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from whetstone.episodes.content import About, Content
from whetstone.episodes.transcript import Transcript
from whetstone.errors import UsageError


class UnknownEpisode(UsageError):
    """The library has no such episode."""


@dataclass(frozen=True)
class Wanted:
    """Which episodes to look at; "" for all. Dates are ISO days, both ends included."""

    show: str = ""
    speaker: str = ""
    since: str = ""
    until: str = ""


@dataclass(frozen=True)
class Entry:
    """An episode in the list. `opening`: a sentence or two of what it is about. `seconds` None: unknown."""

    id: str
    title: str
    show: str = ""
    published: str = ""
    seconds: float | None = None
    people: tuple[str, ...] = ()
    opening: str = ""


@dataclass(frozen=True)
class Hit:
    """A segment that was found, with its second (None: the transcript has no times).

    `marks`: where in `text` the words stand that were looked for, first character and the one after the last.
    """

    episode: str
    title: str
    show: str
    published: str
    segment: int
    start: float | None
    speaker: str
    text: str
    marks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Shown:
    """All that a page shows. `version` changes whenever any of it does. `names`: what to call a speaker."""

    about: About
    transcript: Transcript
    content: Content
    names: Mapping[str, str]
    version: str = ""


@dataclass(frozen=True)
class Reply:
    """An answer to a question over the library: lines, each with the passages that say so. `made_by`: as in Content.
    `problem`: why a model that was asked wrote none of it."""

    lines: tuple[tuple[str, tuple[Hit, ...]], ...]
    made_by: str = "no model"
    problem: str = ""


Compose = Callable[[str, Sequence[Hit]], Reply]  # a question, what was found; no lines: the passages are shown


class Shelf(Protocol):
    """Called from several threads. An episode that is not there raises UnknownEpisode, a claim or speaker UsageError.

    All names of people are those that were given by hand, else the transcript's.
    """

    def episodes(self, wanted: Wanted, title: str, first: int, count: int) -> tuple[Sequence[Entry], int]:
        """Entries `first` to `first + count`, newest first, and how many there are. `title`: words of the title."""

    def shows(self) -> Sequence[str]:
        """The shows, in alphabetical order."""

    def speakers(self) -> Sequence[str]:
        """The names of all who speak, in alphabetical order."""

    def episode(self, episode: str) -> Shown:
        """One episode."""

    def voices(self, episode: str) -> tuple[Transcript, Mapping[str, str]]:
        """Its transcript with the speakers' own names, and the names that were given to them by hand."""

    def corrections(self, episode: str) -> Mapping[int, str]:
        """Segment -> who says it, where a person put the transcript right."""

    def audio(self, episode: str) -> Path | None:
        """Its sound on this machine, None where there is none."""

    def find(self, address: str) -> str | None:
        """The id of the episode whose own page, sound or feed entry is at `address`."""

    def search(self, query: str, wanted: Wanted, count: int, episode: str | None = None) -> Sequence[Hit]:
        """The segments that fit best, in one episode or in all."""

    def ask(self, question: str, wanted: Wanted) -> Reply:
        """What the library says to a question."""

    def rename(self, episode: str, names: Mapping[str, str], in_show: bool = False) -> None:
        """What to call the speakers from now on; "" takes a name back. `in_show`: in all episodes of the show."""

    def correct(self, episode: str, names: Mapping[int, str]) -> None:
        """Who says single segments; "" leaves one to whom the transcript gives it."""

    def dismiss(self, episode: str, claim: str, dismissed: bool) -> None:
        """Put a claim away, or back."""

    def read(self, text: str, title: str, address: str) -> Shown:
        """What a transcript says that is not in the library; nothing is stored. Raises UsageError for no transcript."""

    def take(self, text: str, title: str, address: str) -> str:
        """Put the transcript that stands on a page of the web into the library; its id. Raises UsageError for no
        transcript, and for no such address."""
