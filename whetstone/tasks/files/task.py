"""Benchmark files as tasks: fixed items with an answer to write, or with choices."""

from __future__ import annotations

import hmac
import re
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappush, heapreplace
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError
from whetstone.tasks import forms
from whetstone.tasks.answers import final_number
from whetstone.tasks.files.rows import SUFFIXES, fingerprint, rows
from whetstone.tasks.files.shapes import LETTERS, Columns, Item, Shape
from whetstone.tasks.segments import DENIED_ANSWER, MAX_TEXT
from whetstone.tasks.task import Facts, Problem, PromptStyle, Task, Verdict

FIXED = "fixed items: nothing keeps them out of training"
LIKELIHOOD, LETTER = "likelihood", "letter"


@dataclass(frozen=True)
class Draw:
    """What was taken from a file: `problems` of `total` different items; `repeated` rows held one once more."""

    problems: list[Problem]
    total: int
    repeated: int


class FixedItems(Task):
    """The items of one file. They cannot be drawn by key or kept apart from training; only an evaluation takes them."""

    levels = (1,)

    def __init__(self, path: Path, columns: Columns) -> None:
        self.path, self.columns = path, columns
        self.name = path.name
        self.sha256 = fingerprint(path)
        self.version = self.sha256[:12]
        self._golds: dict[str, str | int] = {}

    def sample(self, seed: bytes, level: int) -> Problem:
        """Raises UsageError: there is nothing to generate."""
        raise UsageError(f"{self.path} holds {FIXED}; `whet eval` measures on it, training needs a task that generates")

    def require_level(self, level: int) -> None:
        """Raises UsageError, as `sample` does: whoever asks for a level wants problems made."""
        self.sample(b"", level)

    def draw(self, n: int, key: bytes) -> Draw:
        """`n` different items in the file's order, chosen by the key; all of them where there are no more.

        Reads the file once, keeping n items and a digest of each row. Raises UsageError for a row that does not fit.
        """
        chosen: list[tuple[int, int, Item]] = []  # a heap, by the negated keyed hash of the id
        seen: set[bytes] = set()
        repeated = 0
        for number, row in rows(self.path):
            item = self._understood(number, row)
            identity = bytes.fromhex(item.id)
            if identity in seen:
                repeated += 1
                continue
            seen.add(identity)
            entry = (-int.from_bytes(hmac.digest(key, identity, "sha256"), "big"), number, item)
            if len(chosen) < n:
                heappush(chosen, entry)
            elif entry > chosen[0]:
                heapreplace(chosen, entry)
        if not seen:
            raise UsageError(f"{self.path} holds no row")
        kept = sorted((number, item) for _, number, item in chosen)
        return Draw([self._problem(number, item) for number, item in kept], len(seen), repeated)

    def canonical_facts(self, facts: Facts) -> Facts:
        return {"id": facts["id"]}

    def gold(self, problem: Problem) -> str | int:
        """The gold answer of a problem of the last draw."""
        return self._golds[problem.id]

    @abstractmethod
    def question(self, item: Item) -> str:
        """How the item is put."""

    def facts(self, item: Item) -> dict[str, Any]:
        """What a problem carries beside its row and id."""
        return {}

    def _problem(self, number: int, item: Item) -> Problem:
        self._golds[item.id] = item.gold
        facts = {"row": number, "id": item.id, **self.facts(item)}
        return Problem(self.question(item), facts, self.name, 1, item.id)

    def _understood(self, number: int, row: Any) -> Item:
        try:
            return self.columns.item(row)
        except UsageError as error:
            raise UsageError(f"{self.path}: row {number}: {error}") from error


class QuestionFile(FixedItems):
    """Questions with an answer to write: a number or a list of numbers is judged by value, another text as a text."""

    max_new_tokens = 48

    def question(self, item: Item) -> str:
        return item.question

    def check(self, problem: Problem, text: str) -> Verdict:
        gold = str(self.gold(problem))
        return _judge_of(gold)(text, gold, {})

    def answer(self, problem: Problem) -> str | None:
        return str(self.gold(problem))

    def final_answer(self, text: str) -> str | None:
        return final_number(text) or super().final_answer(text)


def _judge_of(gold: str) -> Callable[[str, str, forms.Details], Verdict]:
    if forms.is_list(gold):
        return forms.numbers
    try:
        forms.read_number(gold)
    except (ValueError, ZeroDivisionError):
        return forms.phrase
    return forms.number


class ChoiceFile(FixedItems):
    """Questions with choices. The style "likelihood" asks which choice the model finds likeliest, for which its weights
    are needed; "letter" lets it write a letter."""

    max_new_tokens = 16
    instruction = "Reply with the letter of the right choice only."

    def question(self, item: Item) -> str:
        listed = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, item.choices, strict=False))
        return f"{item.question}\n{listed}"

    def facts(self, item: Item) -> dict[str, Any]:
        return {"stem": item.question, "choices": list(item.choices)}

    def check(self, problem: Problem, text: str) -> Verdict:
        """One letter, alone or with its own choice's text, or that text; where it is marked, else all that is said."""
        if len(text) > MAX_TEXT:
            return Verdict.NO_ANSWER
        if any(DENIED_ANSWER.search(text, max(0, mark.start() - 20), mark.start()) for mark in _MARK.finditer(text)):
            return Verdict.NO_ANSWER
        places = [*_MARK.split(text)[1:], *(match[1] or match[2] or "" for match in _WRAPPED.finditer(text))]
        named = {_named(place, problem.facts["choices"]) for place in places or [text]}
        if len(named) != 1 or None in named:
            return Verdict.NO_ANSWER
        return Verdict.RIGHT if self.gold(problem) in named else Verdict.WRONG

    def answer(self, problem: Problem) -> str | None:
        return LETTERS[int(self.gold(problem))]

    def styles(self) -> dict[str, PromptStyle]:
        """ "likelihood" (its template is the context of each choice) is the default one."""
        return {
            LIKELIHOOD: PromptStyle(LIKELIHOOD, None, "Question: {question}\nAnswer:"),
            LETTER: PromptStyle(LETTER, None, "{question}\n{instruction}"),
        }


# not cut at the end of a sentence, as other answers are: "D. a hen" begins with one
_MARK = re.compile(r"\banswers?\b[^.\n=:]{0,60}?(?:\bis\b\s{0,3}:?|:)", re.IGNORECASE)
_WRAPPED = re.compile(r"<answer>([^<]*+)</answer>|\\boxed\{([^{}]*+)\}")


def _named(text: str, choices: list[str]) -> int | None:
    """The choice that the text names; None when it names none or says anything else."""
    said = _WRAPPED.sub(lambda match: match[1] or match[2] or "", text).strip().strip("*$`\"' \n")
    letter = said.strip("().:[]{} ").upper()
    if len(letter) == 1 and letter in LETTERS[: len(choices)]:
        return LETTERS.index(letter)
    for place, choice in enumerate(choices):
        bare = choice.casefold().rstrip(".")
        forms_of_it = (bare, *(f"{mark}{bare}" for mark in _marks(LETTERS[place].casefold())))
        if said.casefold().rstrip(".") in forms_of_it:
            return place
    return None


def _marks(letter: str) -> tuple[str, ...]:
    return f"{letter}. ", f"{letter}) ", f"({letter}) ", f"{letter}: "


def load_file(path: Path) -> FixedItems:
    """The file as a task, its shape told from the first row. Raises UsageError when it has none that is known."""
    first = next(rows(path), None)
    if first is None:
        raise UsageError(f"{path} holds no row")
    try:
        columns = Columns.of(first[1])
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return ChoiceFile(path, columns) if columns.shape is Shape.CHOICE else QuestionFile(path, columns)


def is_benchmark(spec: str) -> bool:
    """Whether a task's name is that of a file that `load_file` reads."""
    return Path(spec).suffix.lower() in SUFFIXES
