"""A strategy's way to an answer: its generator is driven in the event loop, whoever answers draws what it wants.

`Solving` draws from an engine of this server, `Remote` from an endpoint; verifiers work in the engines' thread between
two steps, as those that look at hidden states must.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from whetstone.engine.backends import Backend
from whetstone.engine.selection import totals
from whetstone.engine.strategies.run import Account
from whetstone.engine.strategies.spending import Spent
from whetstone.engine.strategies.strategy import Candidate, Choice, Draw, Drawn, Question, Score, Strategy
from whetstone.errors import UsageError
from whetstone.models.config import ModelConfig
from whetstone.serving.bridge import Ended
from whetstone.serving.errors import ApiError, bad
from whetstone.serving.limits import Limits
from whetstone.serving.state import State

SCORED_TOKENS = 1024  # of answers that a verifier looks at between two steps


class Attempt(ABC):
    """One strategy at work on one question. `visible`: tokens of the answer that the client sees as content."""

    def __init__(
        self, strategy: Strategy, question: Question, backend: Backend, config: ModelConfig | None = None
    ) -> None:
        self.strategy = strategy
        self.prompt_tokens = self.cached_tokens = self.visible = 0
        self._question, self._backend = question, backend
        self._account = Account(config)
        self._choice: Choice | None = None
        self._samples = 0
        self._wish: Draw | Score | None = None

    @property
    def spent(self) -> Spent:
        """What it has cost so far."""
        return self._account.spent

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Of the model that writes. See `Served.fingerprint`."""

    @abstractmethod
    def admit(self, state: State, wish: Draw) -> None:
        """Take places for the first draw, or refuse it. Raises ApiError."""

    @abstractmethod
    async def drawn(self, state: State, wish: Draw) -> Drawn:
        """What is wanted. Raises ApiError."""

    @abstractmethod
    def content(self) -> Ended:
        """The answer as one text without its thinking section, for whoever need not know which model wrote it."""

    @abstractmethod
    def cancel(self) -> None:
        """Nobody wants the rest, if there is any."""

    def begin(self, state: State) -> None:
        """Make the first draw wait its turn. Raises ApiError: 429 when too many wait, 503 while closing, 400 where the
        strategy cannot do it."""
        try:
            self._steps = self.strategy.solve(self._question, self._backend)
            self._wish = self._go_on(None)
            if isinstance(self._wish, Draw):
                self.admit(state, self._wish)
        except UsageError as failure:
            raise bad(str(failure), "model", "strategy_refused") from None
        except ApiError:
            self.cancel()
            raise

    async def choose(self, state: State) -> Choice:
        """From the first draw to the answer. Raises ApiError, and what verifiers raise."""
        while (wish := self._wish) is not None:
            result = await self._score(state, wish) if isinstance(wish, Score) else await self.drawn(state, wish)
            self._wish = self._go_on(result)
        assert self._choice is not None
        return self._choice

    def told(self) -> dict[str, Any]:
        """How the answer came about; agreement is the share of candidates that say the same as the answer."""
        choice = self._choice
        assert choice is not None
        votes = totals([each.answer for each in choice.of])
        agreement = votes.get(choice.answer, 0.0) / len(choice.of) if choice.answer is not None and choice.of else None
        return {
            "strategy": self.strategy.name,
            "samples": self.spent.completions,
            "rounds": self.spent.rounds,
            "agreement": agreement,
            "confidence": choice.confidence,
            "verifier_tokens": self.spent.verifier_tokens,
        }

    def check(self, limits: Limits, wish: Draw) -> None:
        """Raises ApiError for a draw that is beyond what one answer may take."""
        name = self.strategy.name
        if self._samples + sum(len(request.seeds) for request in wish.requests) > limits.samples:
            message = f"{name} draws more than the {limits.samples} samples that this server gives to an answer"
            raise bad(message, "model", "too_many_samples")
        if self.spent.written_tokens > limits.hidden_tokens:
            message = f"{name} wrote more than the {limits.hidden_tokens} tokens that this server gives to an answer"
            raise bad(message, "model", "too_many_tokens")

    def _go_on(self, result: object) -> Draw | Score | None:
        """The strategy's next wish; None when it has chosen. Raises ApiError."""
        try:
            wish: Draw | Score = self._steps.send(result)
        except StopIteration as end:
            self._choice = end.value
            return None
        except UsageError as failure:
            raise bad(str(failure), "model", "strategy_refused") from None
        return wish

    async def _score(self, state: State, wish: Score) -> list[float]:
        values: list[float] = []
        for piece in _pieces(wish.candidates):
            began = time.perf_counter()
            scores = await state.in_engine(partial(wish.verifier.score, piece))
            self._account.scored(scores.tokens, scores.flops, time.perf_counter() - began)
            values += scores.values
        return values


def _pieces(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """Candidates as a verifier sees them between two steps: some at a time, so that the streams of others go on."""
    piece: list[Candidate] = []
    tokens = 0
    for candidate in candidates:
        tokens += candidate.completion.length
        if piece and tokens > SCORED_TOKENS:
            yield piece
            piece, tokens = [], candidate.completion.length
        piece.append(candidate)
    yield piece
