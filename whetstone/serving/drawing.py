"""One request of a draw on its way through the engines' thread: what its sequences write, and the text of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from whetstone.engine.protocol import Completion, Request, TopLogprobs
from whetstone.engine.service import Ticket
from whetstone.engine.strategies.strategy import Candidate, Question
from whetstone.serving.generation import Member, TextRules
from whetstone.serving.models import Served


@dataclass
class Drawing:
    """`future` is done when every sequence of `request` has ended; `pieces`: the text that came with each token, and
    the rest; by sequence."""

    request: Request
    future: asyncio.Future[None]
    completions: list[Completion | None]
    pieces: list[list[str]]
    tickets: list[Ticket] = field(default_factory=list)

    @classmethod
    def of(cls, request: Request) -> Drawing:
        """In the event loop."""
        count = len(request.seeds)
        return cls(request, asyncio.get_running_loop().create_future(), [None] * count, [[] for _ in range(count)])

    @property
    def done(self) -> list[Completion]:
        """What has ended."""
        return [each for each in self.completions if each is not None]

    def candidates(self, question: Question) -> list[Candidate]:
        """What was written, as the question reads it; when all has ended."""
        texts = ["".join(pieces) for pieces in self.pieces]
        return [Candidate(self.request, c, t, question.read(t)) for c, t in zip(self.done, texts, strict=True)]

    def cancel(self) -> None:
        """Nobody wants the rest."""
        for ticket in self.tickets:
            ticket.cancel()


class Ear:
    """Listens to some sequences of a drawing, from number `first` on. Made in the event loop."""

    def __init__(self, drawing: Drawing, served: Served, rules: TextRules, first: int, members: int) -> None:
        self._drawing, self._first, self._stop_ids = drawing, first, rules.stop_ids
        self._members = [Member(served, rules) for _ in range(members)]
        self._loop = asyncio.get_running_loop()

    def token(self, member: int, token: int, logprob: float, top: TopLogprobs | None) -> bool:
        """See `Listener`."""
        state = self._members[member]
        self._drawing.pieces[self._first + member].append("" if token in self._stop_ids else state.feed(token))
        return state.stopped

    def finished(self, member: int, completion: Completion) -> None:
        """See `Listener`."""
        place = self._first + member
        self._drawing.pieces[place].append(self._members[member].finish())
        self._drawing.completions[place] = completion
        if None not in self._drawing.completions:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if not self._drawing.future.done():
            self._drawing.future.set_result(None)
