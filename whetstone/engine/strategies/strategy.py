"""What every way to spend tokens at inference has in common.

A strategy is a generator: it yields what it wants drawn or scored, is sent the results, and returns its choice. So one
definition serves a measurement of a thousand questions in lockstep, a pool of samples that was drawn before, and a
server's single request; and what it spends is counted by whoever runs it, not by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Completion, Request, SamplingParams
from whetstone.engine.rollout import completion_text
from whetstone.tasks.task import Message


@dataclass(frozen=True)
class Wording:
    """A chat that asks for steps before the answer. `room`: tokens for both, of which `answer` for the answer alone."""

    messages: tuple[Message, ...]
    room: int
    answer: int


@dataclass(frozen=True)
class Question:
    """One question. `prompts`: its wordings as chats, the default one first (prompt ensembles use more).

    read: what two answers must share to be votes for the same (`Task.final_answer`); None: no answer in that text.
    seed: a 64-bit seed for each number of an answer, the same for every strategy, so that they share samples.
    room: tokens that an answer may take. check: whether an answer is right, only where that can be told from the
    question alone (`Task.verifiable`); a judge that knows the answer has no business here. steps: the wording for
    methods that think first; None: the first prompt serves them, too.
    """

    prompts: tuple[tuple[Message, ...], ...]
    read: Callable[[str], str | None]
    seed: Callable[[int], int]
    room: int
    check: Callable[[str], bool] | None = None
    steps: Wording | None = None

    @property
    def stepwise(self) -> Wording:
        """`steps`, or the first prompt where there is no such wording."""
        return self.steps or Wording(self.prompts[0], self.room, self.room)


@dataclass(frozen=True)
class Candidate:
    """Something written to a prompt, whole or so far: `text` without the end mark, `answer` as the question reads
    it, `check` as the question has it."""

    request: Request
    completion: Completion
    text: str
    answer: str | None
    check: Callable[[str], bool] | None = field(default=None, repr=False, compare=False)

    @property
    def ids(self) -> tuple[int, ...]:
        """Prompt and answer, as the model saw them."""
        return self.request.prompt_ids + self.completion.ids


@dataclass(frozen=True)
class Scores:
    """A verifier's scores, higher is better, one for each candidate; and what they cost: `tokens` that went through a
    model, those in a cache not counted, and the `flops` of that (0 for a check that asks no model)."""

    values: tuple[float, ...]
    tokens: int = 0
    flops: float = 0.0


class Verifier(Protocol):
    """Tells better candidates from worse ones without knowing the answer. Takes unfinished ones too where `process`
    is true: then it may steer a search."""

    @property
    def name(self) -> str: ...

    @property
    def process(self) -> bool: ...

    @property
    def params_needed(self) -> Mapping[str, Any]:
        """Fields of SamplingParams that its candidates must be drawn with, e.g. {"top_logprobs": 20}."""
        ...

    def score(self, candidates: Sequence[Candidate]) -> Scores:
        """One score per candidate, in order. Never raises for what a model wrote."""
        ...


@dataclass(frozen=True)
class Draw:
    """Completions wanted: sent back as one list of candidates per request, one per seed."""

    requests: tuple[Request, ...]
    params: SamplingParams


@dataclass(frozen=True)
class Score:
    """Scores wanted: sent back as a list of floats."""

    verifier: Verifier
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Choice:
    """What a strategy answers. `of`: everything it chose from; `confidence`: its own, from 0 to 1, None where it has
    none. Tokens that were written and are no part of `text` are counted by the runner."""

    text: str
    answer: str | None
    of: tuple[Candidate, ...] = ()
    confidence: float | None = None
    notes: dict[str, float | str] = field(default_factory=dict)


Drawn = list[list[Candidate]]
Steps = Generator[Draw | Score, Any, Choice]


def draw(requests: Sequence[Request], params: SamplingParams) -> Generator[Draw | Score, Any, Drawn]:
    """`drawn = yield from draw(...)`: what was drawn, typed."""
    drawn: Drawn = yield Draw(tuple(requests), params)
    return drawn


def score(verifier: Verifier, candidates: Sequence[Candidate]) -> Generator[Draw | Score, Any, list[float]]:
    """`values = yield from score(...)`: the scores, typed. Nothing is asked for no candidates."""
    if not candidates:
        return []
    values: list[float] = yield Score(verifier, tuple(candidates))
    return values


class Strategy(Protocol):
    """A way to answer. `name` says what it is and how much of it ("consistency-8")."""

    @property
    def name(self) -> str: ...

    def solve(self, question: Question, backend: Backend) -> Steps:
        """Start on a question. Raises UsageError when this backend cannot do it (ids are needed and it takes messages
        only)."""
        ...


def candidate(question: Question, backend: Backend, request: Request, completion: Completion) -> Candidate:
    """A completion together with what can be read in it."""
    text = completion_text(completion, backend.tokenizer)
    return Candidate(request, completion, text, question.read(text), question.check)
