"""What shape a benchmark's rows have, told from their columns, and each row as an item."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from whetstone.errors import UsageError
from whetstone.tasks.files.rows import Row

QUESTIONS = ("question", "problem", "prompt", "input", "query", "ctx")
ANSWERS = ("answer", "answerKey", "answer_key", "label", "target", "gold", "output")
CHOICES = ("choices", "options", "endings")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WORKED = re.compile(r"####\s*(\S[^\n]*?)\s*$")
_GROUPED = re.compile(r"\$?(-?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|-?[0-9]+(?:\.[0-9]+)?)")


class Shape(StrEnum):
    """The shapes that are known."""

    ANSWER = "question and answer"
    WORKED = "question and worked answer after which #### names the result"
    CHOICE = "multiple choice"


@dataclass(frozen=True)
class Item:
    """A row understood. `gold` is the answer's text, or the place of the right one among `choices` (from 0)."""

    question: str
    gold: str | int
    choices: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """32 hex digits of the sha256 of the content: the same item has it in every file."""
        content = json.dumps([self.question, list(self.choices), self.gold], ensure_ascii=False)
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True)
class Columns:
    """The shape of a file and the columns that hold its parts."""

    shape: Shape
    question: str
    answer: str
    choices: str | None = None

    @classmethod
    def of(cls, row: Row) -> Columns:
        """Told from the first row. Raises UsageError, naming what is missing."""
        question, answer, choices = (_first(row, names) for names in (QUESTIONS, ANSWERS, CHOICES))
        if question is None or answer is None:
            missing, names = ("question", QUESTIONS) if question is None else ("answer", ANSWERS)
            raise UsageError(
                f"no column holds the {missing} (one of {', '.join(names)}); there are {', '.join(map(str, row))}"
            )
        if choices is not None:
            return cls(Shape.CHOICE, question, answer, choices)
        worked = isinstance(row[answer], str) and _WORKED.search(row[answer]) is not None
        return cls(Shape.WORKED if worked else Shape.ANSWER, question, answer)

    def item(self, row: Row) -> Item:
        """Raises UsageError, saying what is wrong with the row."""
        question = _text(row, self.question)
        if self.choices is not None:
            labels, choices = _choices(row, self.choices)
            return Item(question, _place(row.get(self.answer), labels, choices), choices)
        answer = row.get(self.answer)
        if isinstance(answer, bool | int | float):
            return Item(question, str(answer))
        answer = _text(row, self.answer)
        if self.shape is Shape.WORKED:
            match = _WORKED.search(answer)
            if match is None:
                raise UsageError("its answer has no line #### RESULT, as the first row's has")
            answer = match[1]
        return Item(question, plain_number(answer.strip()))


def plain_number(text: str) -> str:
    """$1,234.50 as 1234.50; anything else as it is."""
    match = _GROUPED.fullmatch(text)
    return text if match is None else match[1].replace(",", "")


def _first(row: Row, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in row), None)


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"its {column} must be a text, not {str(value)[:60]!r}")
    return value.strip()


def _choices(row: Row, column: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(labels, texts): from a list of texts, {"text": [...], "label": [...]}, or {"A": text, ...}."""
    value = row.get(column)
    labels: Sequence[Any] = ()
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        value, labels = value["text"], value.get("label") or ()
    elif isinstance(value, Mapping):
        value, labels = list(value.values()), list(value)
    if not isinstance(value, list) or not all(isinstance(each, str) and each.strip() for each in value):
        raise UsageError(f'its {column} must be a list of texts, or {{"text": [...], "label": [...]}}')
    if not 2 <= len(value) <= len(LETTERS) or (labels and len(labels) != len(value)):
        raise UsageError(f"its {column} must be from 2 to {len(LETTERS)} texts, with as many labels if any")
    if len(set(value)) != len(value):
        raise UsageError(f"two of its {column} are the same")
    return tuple(map(str, labels)), tuple(each.strip() for each in value)


def _place(answer: object, labels: Sequence[str], choices: Sequence[str]) -> int:
    """Which choice is right: by a label, an index from 0, a letter or the text. All readings must agree."""
    if isinstance(answer, bool) or not isinstance(answer, int | str):
        raise UsageError(f"its answer must be a label, an index or a letter, not {str(answer)[:60]!r}")
    text = str(answer).strip()
    if text in labels:  # the file's own names for the choices come before any habit
        return list(labels).index(text)
    found = {int(text)} if text.isascii() and text.isdigit() and len(text) < 3 else set()
    if isinstance(answer, str):
        found |= {place for place, choice in enumerate(choices) if choice == text}
        found |= {LETTERS.index(text)} if len(text) == 1 and text in LETTERS and not labels else set()
    if len(found) > 1:
        raise UsageError(f"its answer {text!r} can be read as a choice's text and as another one's place")
    if not found or (place := found.pop()) >= len(choices):
        raise UsageError(f"its answer {text[:60]!r} names none of its {len(choices)} choices")
    return place
