"""The work of one request: prompts go to the engine, and what comes back is text by the time it leaves its thread.

Detokenizing and looking for stop strings happen in the engines' thread, because a stop string must end its sequence
before the next step. Everything else (parsers, JSON, sockets) happens in the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from whetstone.engine.protocol import Completion, Request, SamplingParams, TopLogprobs
from whetstone.engine.service import Busy, Ticket
from whetstone.engine.text.detokenize import Detokenizer
from whetstone.engine.text.stops import StopStrings
from whetstone.serving.bridge import Bridge, Ended, Feed, Token
from whetstone.serving.errors import ApiError, bad, shutting_down
from whetstone.serving.models import Served, no_such_model
from whetstone.serving.state import State


@dataclass
class TextRules:
    """How ids become text. `kept`: special tokens that stay in it (the marks of tool calls)."""

    stops: Sequence[str] = ()
    stop_ids: frozenset[int] = frozenset()
    kept: Collection[str] = ()


class _Member:
    """Text of one sequence, in the engines' thread."""

    def __init__(self, served: Served, rules: TextRules) -> None:
        self._detokenizer = Detokenizer(served.loaded.tokenizer, rules.kept)
        self._stops = StopStrings(rules.stops)
        self.last: float | None = None  # when the last token came

    @property
    def stopped(self) -> bool:
        return self._stops.matched is not None

    def feed(self, token: int) -> str:
        return self._stops.feed(self._detokenizer.feed(token))

    def finish(self) -> str:
        return self._stops.feed(self._detokenizer.finish()) + self._stops.finish()


class _Ear:
    """Listens to one prompt's sequences; `first` is the number of its first one within the HTTP request."""

    def __init__(
        self, bridge: Bridge, feed: Feed, served: Served, rules: TextRules, first: int, members: int, began: float
    ) -> None:
        self._bridge, self._feed, self._served, self._rules = bridge, feed, served, rules
        self._first, self._began = first, began
        self._members = [_Member(served, rules) for _ in range(members)]
        self._spoke = False

    def token(self, member: int, token: int, logprob: float, top: TopLogprobs | None) -> bool:
        state = self._members[member]
        self._time(state)
        end_mark = token in self._rules.stop_ids
        text = "" if end_mark else state.feed(token)
        self._bridge.put(self._feed, Token(self._first + member, token, logprob, top, text, end_mark))
        return state.stopped

    def finished(self, member: int, completion: Completion) -> None:
        text = self._members[member].finish()
        ended = Ended(self._first + member, text, completion.finish, completion.weight_version)
        self._bridge.put(self._feed, ended)

    def _time(self, state: _Member) -> None:
        now = time.monotonic()
        if not self._spoke:
            self._spoke = True
            self._served.first_token.observe(now - self._began)
        elif state.last is not None:
            self._served.next_token.observe(now - state.last)
        state.last = now


@dataclass
class Generation:
    """The work of one HTTP request: one or several prompts, each with its seeds."""

    served: Served
    requests: Sequence[Request]
    params: SamplingParams
    rules: TextRules
    began: float = field(default_factory=time.monotonic)
    _tickets: list[Ticket] = field(default_factory=list)
    _feed: Feed | None = None

    @property
    def members(self) -> int:
        """Sequences of all prompts; number m of prompt p is the one before it plus m."""
        return sum(len(request.seeds) for request in self.requests)

    @property
    def prompt_tokens(self) -> int:
        return sum(len(request.prompt_ids) for request in self.requests)

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompts whose keys and values were found; known once a token has come."""
        return sum(ticket.job.cached_tokens or 0 for ticket in self._tickets if ticket.job is not None)

    def start(self, state: State) -> Feed:
        """Queue it. Raises ApiError: 429 when too many wait, 503 while closing, 400 for what can never run."""
        feed = self._feed = Feed(self.members)
        try:
            with self.served.gate:
                if self.served.retired:
                    raise no_such_model(self.served.name)
                self._submit(state, feed)
        except Busy as failure:
            self.cancel()
            raise (shutting_down() if state.closing else ApiError(429, str(failure), "queue_full")) from None
        except ValueError as failure:
            self.cancel()
            raise bad(str(failure)) from None
        return feed

    def _submit(self, state: State, feed: Feed) -> None:
        first = 0
        for request in self.requests:
            members = len(request.seeds)
            ear = _Ear(state.bridge, feed, self.served, self.rules, first, members, self.began)
            self._tickets.append(state.service.submit(self.served.engine, request, self.params, ear))
            first += members

    def cancel(self) -> None:
        """Nobody wants the rest, if there is any."""
        if self._feed is not None and self._feed.over:
            return
        for ticket in self._tickets:
            ticket.cancel()
