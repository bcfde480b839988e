"""A route's answer to one HTTP request: options are asked as the policy says, until one's answer is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from anyio import to_thread

from whetstone.engine.embedding import Embedding
from whetstone.engine.protocol import Request
from whetstone.engine.routing.features import ngrams, question_ids
from whetstone.engine.routing.policy import Classifier, Floats, confidence
from whetstone.engine.service import Busy
from whetstone.engine.strategies.names import Tools, strategy_of
from whetstone.engine.strategies.strategy import Strategy
from whetstone.models.tokenizer import Tokenizer
from whetstone.serving.attempt import Attempt
from whetstone.serving.bridge import Ended, Feed
from whetstone.serving.errors import ApiError, bad, shutting_down
from whetstone.serving.far import Far
from whetstone.serving.generation import counts
from whetstone.serving.models import Served
from whetstone.serving.offers import free
from whetstone.serving.remote import Unreachable
from whetstone.serving.routes import Route
from whetstone.serving.schemas import ChatRequest, Sampled
from whetstone.serving.solving import into
from whetstone.serving.state import State

Ask = Callable[[Served | Far, Strategy], Attempt]  # the request for a model and a strategy; raises ApiError

FAILED = -1.0  # a confidence that no threshold trusts
# what would make answers, and so confidences, other than those that the route was calibrated on
_OWN = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")


class Routed:
    """The work of one request that a route answers. See `Work`. `text`: what the user asks, for a classifier."""

    chooses = True

    def __init__(self, state: State, route: Route, ask: Ask, text: str) -> None:
        """Prepares the first option of a cascade. Raises ApiError where it cannot be asked."""
        self.route, self._ask, self._text = route, ask, text
        self._asked: list[tuple[int, Attempt]] = []
        self._failed: dict[int, Unreachable] = {}
        self._taken: tuple[int, Attempt] | None = None
        self._reading = 0  # tokens that features were made of
        self._task: asyncio.Task[None] | None = None
        policy = route.policy
        rule = policy.rule
        self._tries = None if isinstance(rule, Classifier) else policy.tries()
        self._next: int | None = None if self._tries is None else next(self._tries)
        self._first: Attempt | None = None if self._next is None else self._prepared(state, self._next)

    @property
    def fingerprint(self) -> str:
        """Of the model whose answer was taken."""
        return self._chosen[1].fingerprint

    @property
    def tokenizer(self) -> Tokenizer:
        """There is none: who asks a route gets no tokens."""
        raise LookupError("an answer of a route has no tokens")

    @property
    def _chosen(self) -> tuple[int, Attempt]:
        assert self._taken is not None, "nothing is said of a route's answer before there is one"
        return self._taken

    @property
    def requests(self) -> Sequence[Request]:
        """One answer, to a prompt that hangs on who is asked."""
        return [Request((), (0,))]

    def start(self, state: State) -> Feed:
        """See `Work`. A classifier that must read the question first is refused here when the queue is full."""
        if self._first is not None:
            self._first.begin(state)
        elif state.service.open >= state.service.max_waiting:
            raise ApiError(429, "the server is busy: try again later", "queue_full")
        feed = Feed(1)
        self._task = asyncio.ensure_future(into(feed, state, self._items(state)))
        return feed

    def cancel(self) -> None:
        """Nobody wants the rest, if there is any."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
        for attempt in (*(each for _, each in self._asked), self._first):
            if attempt is not None:
                attempt.cancel()

    def usage(self, said: int, thought: int) -> dict[str, Any]:
        """The sums over all options that were asked; reasoning is all that the client does not see."""
        asked = [attempt for _, attempt in self._asked]
        written = sum(attempt.spent.written_tokens for attempt in asked)
        prompt, cached = sum(each.prompt_tokens for each in asked), sum(each.cached_tokens for each in asked)
        return counts(prompt, cached, written, written - self._chosen[1].visible)

    def extension(self) -> dict[str, Any]:
        """{whetstone: {route, option, asked, failed, strategy, samples, rounds, agreement, confidence, verifier_tokens,
        routing_tokens}}: `option` answered, `asked` are those that were asked before or after, too, `failed` those of
        them whose endpoint did not answer; sums are over all."""
        names, (place, taken) = self.route.options, self._chosen
        told = taken.told()
        for name, value in (("samples", "completions"), ("rounds", "rounds"), ("verifier_tokens", "verifier_tokens")):
            told[name] = sum(getattr(attempt.spent, value) for _, attempt in self._asked)
        route = {
            "route": self.route.name,
            "option": names[place],
            "asked": [names[each] for each, _ in self._asked],
            "failed": [names[each] for each in self._failed],
        }
        return {"whetstone": route | told | {"routing_tokens": self._reading}}

    async def _items(self, state: State) -> list[Ended]:
        """Ask until an answer is taken. An option whose endpoint fails is passed over; when no answer is better, that
        of the option before it is sent. Raises ApiError, where none of those that were asked answered that failure."""
        if self._tries is None:
            self._tries = self.route.policy.tries(await self._features(state))
            self._next = next(self._tries)
        while self._next is not None:
            place = self._next
            attempt = self._first or await self._begun(state, place)
            self._first = None
            self._asked.append((place, attempt))
            sure = await self._confidence(state, place, attempt)
            try:
                self._next = self._tries.send(sure)
            except StopIteration:
                self._next = None
        answered = [each for each in self._asked if each[0] not in self._failed]
        if not answered:
            raise next(reversed(self._failed.values()))
        self._taken = answered[-1]
        return [self._taken[1].content()]

    async def _confidence(self, state: State, place: int, attempt: Attempt) -> float:
        try:
            return confidence(await attempt.choose(state))
        except Unreachable as failure:
            self._failed[place] = failure
            return FAILED
        finally:
            attempt.cancel()

    async def _begun(self, state: State, place: int) -> Attempt:
        attempt = await to_thread.run_sync(self._prepared, state, place)
        attempt.begin(state)
        return attempt

    def _prepared(self, state: State, place: int) -> Attempt:
        model, strategy = self.route.model(place, state.models), self.route.policy.options[place].strategy
        verifiers = state.offers.verifiers(model) if isinstance(model, Served) else free()
        return self._ask(model, strategy_of(strategy, Tools(verifiers)))

    async def _features(self, state: State) -> Floats:
        rule = self.route.policy.rule
        assert isinstance(rule, Classifier)
        if rule.features.kind == "ngrams":
            return ngrams(self._text, rule.features.size)
        served = self.route.model(rule.features.option, state.models)
        assert isinstance(served, Served), "features are made of weights that are here"
        ids = question_ids(served.engine, served.loaded.tokenizer, self._text)
        self._reading = len(ids)
        embedding = Embedding(served.engine, ids)
        try:
            while not await state.in_engine(embedding.advance):
                pass
        except Busy as failure:
            raise (shutting_down() if state.closing else ApiError(429, str(failure), "queue_full")) from None
        finally:
            state.service.post(embedding.release)
        found: Floats = embedding.vector().astype("float64")
        return found


def check_routed(request: Sampled, route: Route) -> None:
    """Raises ApiError for what has no meaning for a route."""
    if route.leaves and (request.stop_token_ids or not isinstance(request, ChatRequest)):
        message = f"{route.name} asks an endpoint, which takes chats, and no ids of tokens"
        raise bad(message, "stop_token_ids" if request.stop_token_ids else "prompt", "invalid_value")
    if isinstance(request, ChatRequest) and request.tools and request.tool_choice != "none":
        raise bad("tool calls cannot be routed: ask a model itself", "tools", "invalid_value")
    if request.select is not None or (request.n or 1) > 1:
        raise bad("a route gives one answer: leave out n and select", "n", "invalid_value")
    if request.logprobs or request.return_token_ids:  # type: ignore[attr-defined]
        raise bad("an answer of a route has no log-probabilities or ids", "logprobs", "invalid_value")
    given = [name for name in _OWN if getattr(request, name) is not None]
    if request.logit_bias or given:
        name = given[0] if given else "logit_bias"
        raise bad(f"a route samples as it was calibrated to: leave out {name}", name, "invalid_value")
