"""The work of one request: prompts go to the engine, and what comes back is text by the time it leaves its thread.

Detokenizing and looking for stop strings happen in the engines' thread, because a stop string must end its sequence
before the next step. Everything else (parsers, JSON, sockets) happens in the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from whetstone.engine.protocol import Completion, Request, SamplingParams, TopLogprobs
from whetstone.engine.service import Busy, Ticket
from whetstone.engine.text.detokenize import Detokenizer
from whetstone.engine.text.stops import StopStrings
from whetstone.models.tokenizer import Tokenizer
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


class Work(Protocol):
    """What a request sets going. `requests`: the prompts whose answers the client gets, each with a seed per answer.
    `chooses`: its only answer is one that is chosen when others were written too."""

    @property
    def fingerprint(self) -> str:
        """See `Served.fingerprint`."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """Of its answers' tokens."""
        ...

    @property
    def requests(self) -> Sequence[Request]: ...

    @property
    def chooses(self) -> bool: ...

    def start(self, state: State) -> Feed:
        """Begin, in the event loop. Raises ApiError."""
        ...

    def cancel(self) -> None:
        """Nobody wants the rest, if there is any."""
        ...

    def usage(self, said: int, thought: int) -> dict[str, Any]:
        """OpenAI's token counts, for answers of `said` tokens, `thought` of them in thinking sections."""
        ...

    def extension(self) -> dict[str, Any]:
        """Fields of ours in the response."""
        ...


class Member:
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
        self._members = [Member(served, rules) for _ in range(members)]
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

    def _time(self, state: Member) -> None:
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
    chooses: bool = field(default=False, init=False)

    @property
    def fingerprint(self) -> str:
        return self.served.fingerprint

    @property
    def tokenizer(self) -> Tokenizer:
        return self.served.loaded.tokenizer

    def usage(self, said: int, thought: int) -> dict[str, Any]:
        """See `Work`. Cached tokens are those of the prompts whose keys and values were found."""
        found = sum(ticket.job.cached_tokens or 0 for ticket in self._tickets if ticket.job is not None)
        return counts(sum(len(request.prompt_ids) for request in self.requests), found, said, thought)

    def extension(self) -> dict[str, Any]:
        return {}

    def start(self, state: State) -> Feed:
        """Queue it. Raises ApiError: 429 when too many wait, 503 while closing, 400 for what can never run."""
        feed = self._feed = Feed(members(self.requests))
        try:
            with admitted(state, self.served):
                self._submit(state, feed)
        except ApiError:
            self.cancel()
            raise
        return feed

    def _submit(self, state: State, feed: Feed) -> None:
        first = 0
        for request in self.requests:
            ear = _Ear(state.bridge, feed, self.served, self.rules, first, len(request.seeds), self.began)
            self._tickets.append(state.service.submit(self.served.engine, request, self.params, ear))
            first += len(request.seeds)

    def cancel(self) -> None:
        """Nobody wants the rest, if there is any."""
        if self._feed is not None and self._feed.over:
            return
        for ticket in self._tickets:
            ticket.cancel()


@contextmanager
def admitted(state: State, served: Served) -> Iterator[None]:
    """Requests may be queued inside. Raises ApiError in the place of what the service raises: 429 when too many wait,
    503 while closing, 400 for what can never run, 404 for a model that is no longer served."""
    try:
        with served.gate:
            if served.retired:
                raise no_such_model(served.name)
            yield
    except Busy as failure:
        raise (shutting_down() if state.closing else ApiError(429, str(failure), "queue_full")) from None
    except ValueError as failure:
        raise bad(str(failure)) from None


def members(requests: Sequence[Request]) -> int:
    """Sequences of all prompts; number m of prompt p is the one before it plus m."""
    return sum(len(request.seeds) for request in requests)


def counts(prompt: int, cached: int, completion: int, reasoning: int) -> dict[str, Any]:
    """Token counts as OpenAI's API gives them."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
