"""What a model proposed, read with suspicion: an item whose sentence numbers do not exist is no item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from whetstone.episodes.content import Line


@dataclass(frozen=True)
class QuoteProposal:
    """Words that the model says stand at a segment."""

    words: str
    segment: int


@dataclass(frozen=True)
class AnswerProposal:
    """A question, the segment that asks it and the one where its answer begins."""

    question: str
    asked: int
    answered: int


@dataclass(frozen=True)
class ClaimProposal:
    """A checkable statement made at a segment, in words that stand alone."""

    text: str
    segment: int


@dataclass
class Items:
    """Everything that was proposed for one transcript. `strays`: items that named no sentence of their window."""

    titles: list[tuple[int, str]] = field(default_factory=list)  # (first segment of the window, title)
    points: list[Line] = field(default_factory=list)
    quotes: list[QuoteProposal] = field(default_factory=list)
    answers: list[AnswerProposal] = field(default_factory=list)
    claims: list[ClaimProposal] = field(default_factory=list)
    strays: int = 0

    def add(self, value: Mapping[str, Any], first: int, end: int) -> None:
        """Take in one map answer about segments `first` to `end` (not included)."""
        known = range(first, end)
        if title := _words(value.get("title")):
            self.titles.append((first, title))
        for item in _objects(value.get("points")):
            cited = _numbers(item.get("segments"), known)
            text = _words(item.get("text"))
            self._keep(self.points, Line(text, cited) if text and cited else None)
        for item in _objects(value.get("quotes")):
            text, place = _words(item.get("words")), _number(item.get("segment"), known)
            self._keep(self.quotes, QuoteProposal(text, place) if text and place is not None else None)
        for item in _objects(value.get("answers")):
            text = _words(item.get("question"))
            asked, answered = _number(item.get("asked"), known), _number(item.get("answered"), known)
            good = bool(text) and asked is not None and answered is not None and asked < answered
            self._keep(self.answers, AnswerProposal(text, asked or 0, answered or 0) if good else None)
        for item in _objects(value.get("claims")):
            text, place = _words(item.get("text")), _number(item.get("segment"), known)
            self._keep(self.claims, ClaimProposal(text, place) if text and place is not None else None)

    def _keep(self, place: list[Any], item: object | None) -> None:
        if item is None:
            self.strays += 1
        else:
            place.append(item)


def cited_lines(value: object, points: list[Line]) -> list[Line]:
    """Lines that cite points by number, as lines that cite those points' segments; others are dropped."""
    lines = []
    for item in _objects(value):
        numbers = _numbers(item.get("points"), range(len(points)))
        if (text := _words(item.get("text"))) and numbers:
            segments = sorted({segment for number in numbers for segment in points[number].segments})
            lines.append(Line(text, tuple(segments)))
    return lines


def _objects(value: object) -> Iterable[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _words(value: object) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _number(value: object, known: range) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value in known else None


def _numbers(value: object, known: range) -> tuple[int, ...]:
    found = [_number(each, known) for each in value] if isinstance(value, list) else []
    return tuple(sorted({each for each in found if each is not None}))
