"""Answers that grow piece by piece, ids behind ids: what searches and chains of samples share."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Completion, Request, SamplingParams
from whetstone.engine.strategies.chain import WRITTEN, require_ids
from whetstone.engine.strategies.strategy import (
    Candidate,
    Draw,
    Question,
    Score,
    Verifier,
    candidate,
    draw,
    score,
)
from whetstone.engine.text.detokenize import token_texts
from whetstone.models.tokenizer import Tokenizer

_FAR = 1 << 62  # numbers of answers from here on are hashes; those that are counted stay below


def number(*place: object) -> int:
    """The number of an answer at a place of a search, for `Question.seed`: a hash of the place, so that two places
    share no seed, with each other or with answers that are counted from 0."""
    digest = hashlib.sha256("\0".join(map(repr, place)).encode()).digest()
    return _FAR | int.from_bytes(digest[:8], "big") >> 2


def joined(before: Completion, kept: int, more: Completion) -> Completion:
    """The first `kept` tokens of an answer and what was written behind them, as one answer."""
    return replace(
        more,
        ids=before.ids[:kept] + more.ids,
        logprobs=before.logprobs[:kept] + more.logprobs,
        top=before.top[:kept] + more.top,
        text=None,  # which a backend gave for the new part alone
        token_count=None,
    )


NOTHING = Completion((), (), "length", 0)

_LINE_ENDS: weakref.WeakKeyDictionary[Tokenizer, frozenset[int]] = weakref.WeakKeyDictionary()


def line_ends(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids of the tokens that hold a newline."""
    if (found := _LINE_ENDS.get(tokenizer)) is None:
        texts = token_texts(tokenizer)
        names = [texts.token(place) for place in range(tokenizer.vocab_size)]
        found = frozenset(
            place
            for place, name in enumerate(names)
            if name is not None and name not in texts.special and "\n" in tokenizer.decode([place])
        )
        _LINE_ENDS[tokenizer] = found
    return found


@dataclass(frozen=True)
class Path:
    """An answer so far, its request that of the question's prompt. `over`: it has ended, or has no room left."""

    candidate: Candidate
    over: bool = False
    score: float = 0.0

    @property
    def ids(self) -> tuple[int, ...]:
        return self.candidate.completion.ids


@dataclass(frozen=True)
class Pace:
    """How a search goes on: at every path `width` samples of a step each, at `temperature`. A step ends at a newline
    or after `step` tokens. All steps together, kept or not, have at most `budget` tokens; None: every one
    writes at least a token more, so the rounds are at most as many as the answer's room."""

    width: int
    step: int
    temperature: float = 1.0
    budget: int | None = None


@dataclass
class Growth:
    """Paths of one question, drawn and scored step by step. `written`: tokens so far, kept or not."""

    name: str
    question: Question
    backend: Backend
    verifier: Verifier
    pace: Pace
    written: int = 0
    _start: Request = field(init=False)
    _params: SamplingParams = field(init=False)
    _newlines: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self._newlines = line_ends(require_ids(self.backend, self.name)) - self.backend.stop_ids
        ends = self._newlines | self.backend.stop_ids
        self._start = self.backend.request(list(self.question.prompts[0]), ())
        self._params = SamplingParams(
            self.pace.step, self.pace.temperature, ends, **dict[str, Any](self.verifier.params_needed)
        )

    @property
    def root(self) -> Path:
        """The empty answer."""
        return Path(candidate(self.question, self.backend, self._start, NOTHING))

    def extend(
        self, paths: Sequence[Path], width: int, trees: Sequence[int]
    ) -> Generator[Draw | Score, Any, list[list[Path]]]:
        """`width` samples of a step behind each path, scored; alike ones once. Nothing where not a token of the budget
        is left for each. Paths of different `trees` draw different samples even where they are the same."""
        share = self.pace.step
        if self.pace.budget is not None:
            share = min(share, (self.pace.budget - self.written) // (width * len(paths)))
        if share < 1:
            return [[] for _ in paths]
        # those that are alike ask together: what their samples begin with in common is computed once
        seeds: dict[tuple[int, ...], list[int]] = {path.ids: [] for path in paths}
        for path, tree in zip(paths, trees, strict=True):
            seeds[path.ids] += [self.question.seed(number("step", tree, path.ids, member)) for member in range(width)]
        requests = [
            Request(self._start.prompt_ids + ids, tuple(each), room=min(self.question.room - len(ids), share))
            for ids, each in seeds.items()
        ]
        drawn = yield from draw(requests, self._params)
        found = {ids: iter(group) for ids, group in zip(seeds, drawn, strict=True)}
        grown: list[list[Path]] = []
        for path in paths:
            steps = list(islice(found[path.ids], width))
            self.written += sum(step.completion.length for step in steps)
            different = {step.completion.ids: step.completion for step in steps}
            grown.append([self._behind(path, step) for step in different.values()])
        scores = iter((yield from score(self.verifier, [path.candidate for group in grown for path in group])))
        return [[replace(path, score=next(scores)) for path in group] for group in grown]

    def _behind(self, path: Path, step: Completion) -> Path:
        whole = joined(path.candidate.completion, len(path.ids), step)
        ended = not step.ids or step.finish not in WRITTEN
        # at an end mark, or at a text that a client wants nothing behind: a newline alone ends a step
        ended = ended or (step.finish == "stop" and step.ids[-1] not in self._newlines)
        if not ended:  # at a newline, or for want of room: that ends a step, and no answer
            whole = replace(whole, finish="length")
        over = ended or len(whole.ids) >= self.question.room
        return Path(candidate(self.question, self.backend, self._start, whole), over)
