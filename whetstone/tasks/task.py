"""What a task is: problems drawn from a seed and a level, and a five-way verdict on an answer.

A `Problem` carries the question and the facts it is about, never the answer: `Task.check` computes the answer
again from the facts. So a problem can travel to a model process, a log or another machine without the key
travelling along.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache, cached_property
from typing import Any, TypeAlias

from whetstone.errors import UsageError

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
Facts: TypeAlias = Mapping[str, Any]  # JSON values only: None, bool, int, finite float, str, lists, objects
Message: TypeAlias = dict[str, str]  # OpenAI chat message: {"role": ..., "content": ...}


class Verdict(StrEnum):
    """A reward may flatten these five into two; the log may not (law 4)."""

    RIGHT = "right"
    WRONG = "wrong"
    NO_ANSWER = "no_answer"  # nothing that can be read as exactly one answer
    ERROR = "error"  # the check itself failed: the task is broken, not the answer
    TIMEOUT = "timeout"  # the check was killed after its time limit


@dataclass(frozen=True)
class Problem:
    """One question.

    `facts` holds what the question is about as plain JSON, enough for `Task.check` to work out the answer.
    `task`, `level` and `id` (hex of the canonical form) are filled in by `keys.Stream`; a task's `sample`
    leaves them empty. `cluster` names what the problem shares its luck with, the wording or the document it was made
    from: errors of one cluster go together, and intervals must know. Empty: it stands on its own.
    """

    question: str
    facts: Facts = field(hash=False)
    task: str = ""
    level: int = 0
    id: str = ""
    cluster: str = ""


@dataclass(frozen=True)
class PromptStyle:
    """One way of putting a problem to a model. `template` may use {question}, {closed} and {instruction}.

    {closed} is the question without the document it is about (`Task.closed`).

    `reasoning` is how many tokens an answer may have on top of the task's own `max_new_tokens`.
    """

    name: str
    system: str | None
    template: str
    reasoning: int = 0

    def room(self, task: Task) -> int:
        """How many tokens an answer in this style may have."""
        return task.max_new_tokens + self.reasoning

    @property
    def withholds(self) -> bool:
        """Whether the model does not see the whole question: a control, never a prompt to choose or to train with."""
        return "{question}" not in self.template

    def messages(self, task: Task, problem: Problem, examples: Sequence[tuple[Problem, str]] = ()) -> list[Message]:
        """OpenAI-style messages. Each example (problem, answer text) becomes a user turn and an assistant
        turn.
        """
        messages: list[Message] = []
        if self.system is not None:
            messages.append({"role": "system", "content": self.system})
        for example, answer in examples:
            messages.append({"role": "user", "content": self._ask(task, example)})
            messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": self._ask(task, problem)})
        return messages

    def _ask(self, task: Task, problem: Problem) -> str:
        closed = task.closed(problem) if "{closed}" in self.template else ""
        return self.template.format(question=problem.question, closed=closed, instruction=task.instruction)


DEFAULT_STYLES: Mapping[str, PromptStyle] = {
    style.name: style
    for style in (
        PromptStyle("only", None, "{question} {instruction}"),
        PromptStyle("plain", None, "{question}"),
        # room for what SmolLM2-135M writes when it is asked so: fewer than one answer in ten is cut (docs/log.md)
        PromptStyle("answer", None, '{question} Give the final answer as "Answer: X".', reasoning=64),
        PromptStyle("steps", None, '{question} Think step by step, then finish with "Answer: X".', reasoning=192),
    )
}


class Task(ABC):
    """Subclass this and write two methods, `sample` and `check`; everything else has a default.

    `sample` must be a pure function of its arguments: draw everything from `random.Random(seed)`.
    """

    name: str = ""  # default: the class's name in lower case
    levels: tuple[int, ...] = (1,)  # rising difficulty
    instruction: str = "Reply with the answer only."
    max_new_tokens: int = 32
    stratum: str = "A"  # which stratum of a round asks it unless the round says otherwise (docs/rounds.md)
    siblings: int = 1  # how many problems in a row of a stream share a source, at most 256; see keys.Stream
    needs_code_execution: bool = False  # whether `check` wants to run code that a model wrote: refused (see `judge`)
    verifiable: bool = False  # `check` needs only what the question says, and is easier than answering (countdown)
    last_error: str = ""  # why the most recent verdict was ERROR or TIMEOUT

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = cls.__name__.lower()

    @abstractmethod
    def sample(self, seed: bytes, level: int) -> Problem:
        """Make the problem that belongs to `seed` (32 bytes) at `level` (one of `levels`)."""

    @abstractmethod
    def check(self, problem: Problem, text: str) -> Verdict:
        """Judge a model's answer. `text` is hostile: never evaluate it, read it with tasks.answers."""

    def canonical_facts(self, facts: Facts) -> Facts:
        """The facts in a form that two wordings of one problem share (28 + 21 and 21 + 28)."""
        return facts

    def answer(self, problem: Problem) -> str | None:
        """A text that `check` judges right, for examples and baselines; None when there is none to give."""
        return None

    def worked(self, problem: Problem) -> str | None:
        """The right answer spelled out ("28 + 21 = 49"), which `check` judges right; None when there is no such thing.

        A second form of worked examples for few-shot prompts, beside the bare `answer`.
        """
        return None

    def final_answer(self, text: str) -> str | None:
        """What two texts must share to be votes for the same answer; None for a text that gives none.

        Default: the text itself, white space and case folded.
        """
        return " ".join(text.split()).casefold() or None

    def closed(self, problem: Problem) -> str:
        """The question without the document it is about; the whole question where there is none."""
        return problem.question

    def source(self, problem: Problem) -> bytes | None:
        """What decides to which split a problem belongs; None, the default, for its canonical form.

        Problems that are made from one source must agree in it, or the source would be torn between the splits.
        """
        return None

    def styles(self) -> dict[str, PromptStyle]:
        """Prompt styles by name. "only" is the default one."""
        return dict(DEFAULT_STYLES)

    @cached_property
    def version(self) -> str:
        """12 hex digits of `source_digest`. It enters every problem's seed, so that a changed generator cannot pass for
        the old one."""
        return self.source_digest[:12]

    @property
    def source_digest(self) -> str:
        """sha256 (64 hex digits) of the source of the class and of its bases below `Task`.

        Raises UsageError when the source cannot be read (a class typed at a prompt).
        """
        return _source_digest(type(self))

    @property
    def default_level(self) -> int:
        """The level used when none is named: the second easiest unless the task says otherwise."""
        return self.levels[min(1, len(self.levels) - 1)]

    def require_level(self, level: int) -> None:
        """Raises UsageError when the task has no such level."""
        if level not in self.levels:
            known = ", ".join(map(str, self.levels))
            raise UsageError(f"task {self.name!r} has no level {level}; choose one of {known}")

    def canonical(self, problem: Problem) -> bytes:
        """The canonical form: sorted-keys JSON of the task's name and canonical facts. Raises UsageError if
        not JSON.
        """
        try:
            form = {"task": self.name, "facts": dict(self.canonical_facts(problem.facts))}
            return _CANONICAL.encode(form).encode()
        except (TypeError, ValueError) as error:
            message = f"task {self.name!r}: facts must be a dict of plain JSON values ({error})"
            raise UsageError(message) from error

    def identified(self, problem: Problem, level: int, canonical: bytes | None = None) -> Problem:
        """The problem with its task, level and id filled in. The id is 32 hex digits of sha256 of the canonical
        form, which may be given if it is there already.
        """
        identity = hashlib.sha256(self.canonical(problem) if canonical is None else canonical).hexdigest()[:32]
        return replace(problem, task=self.name, level=level, id=identity)


@cache
def _source_digest(kind: type[Task]) -> str:
    digest = hashlib.sha256()
    for cls in kind.__mro__:
        if cls is Task:
            break
        try:
            digest.update(inspect.getsource(cls).encode())
        except (OSError, TypeError) as error:
            raise UsageError(
                f'the source of task {kind.name!r} cannot be read; set `version = "1"` in the class'
            ) from error
    return digest.hexdigest()


def as_verdict(value: object) -> Verdict:
    """A check's return value as a verdict: a Verdict, its name, or a bool. Raises TypeError for anything
    else.
    """
    if isinstance(value, bool):
        return Verdict.RIGHT if value else Verdict.WRONG
    if isinstance(value, str) and value in Verdict._value2member_map_:
        return Verdict(value)
    raise TypeError(f"check must return a Verdict or a bool, not {type(value).__name__}")


def require_no_code_execution(task: Task) -> None:
    """Raises UsageError for a task whose check wants to run a model's code: the sandbox has no walls for that yet."""
    if task.needs_code_execution:
        raise UsageError(
            f"task {task.name!r} wants to run code that a model wrote, which is refused until the sandbox can hold "
            "it. Judge what the code would print, or drop needs_code_execution if check never runs the text"
        )


THINKING = (("<think>", "</think>"), ("<seed:think>", "</seed:think>"), ("[THINK]", "[/THINK]"))  # opened, closed by
_THOUGHTS = tuple((re.compile(rf"\s*{re.escape(start)}"), end) for start, end in THINKING)


def behind_thoughts(text: str) -> str:
    """What a model says once it has thought: what follows its thinking section, which its prompt may have opened; all
    of a text that holds none, nothing of one that never closes it."""
    for start, end in _THOUGHTS:
        _, closed, answer = text.partition(end)
        if closed:
            return answer
        if start.match(text):
            return ""
    return text


def read_answer(task: Task, text: str) -> str | None:
    """`task.final_answer` of what a model says once it has thought: what its votes and rulings go by."""
    return task.final_answer(behind_thoughts(text))


def judge(task: Task, problem: Problem, text: str) -> Verdict:
    """`task.check` as a verdict: a check that fails is Verdict.ERROR, its reason in `task.last_error`.

    Raises UsageError, and nothing else, for a task that wants to run a model's code.
    """
    require_no_code_execution(task)
    try:
        return as_verdict(task.check(problem, behind_thoughts(text)))
    except Exception as error:  # the boundary where any failure of a task's own code becomes a verdict
        task.last_error = f"{task.name}: check raised {type(error).__name__}: {error}"
        return Verdict.ERROR
