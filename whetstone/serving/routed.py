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
from whetstone.serving.bridge import Ended, Feed
from whetstone.serving.errors import ApiError, bad, shutting_down
from whetstone.serving.generation import counts
from whetstone.serving.models import Served
from whetstone.serving.routes import Route
from whetstone.serving.schemas import ChatRequest, Sampled
from whetstone.serving.solving import Solving, into
from whetstone.serving.state import State

Ask = Callable[[Served, Strategy], Solving]  # the request for a model and a strategy; raises ApiError

# what would make answers, and so confidences, other than those that the route was calibrated on
_OWN = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")


class Routed:
    """The work of one request that a route answers. See `Work`. `text`: what the user asks, for a classifier."""

    chooses = True

    def __init__(self, state: State, route: Route, ask: Ask, text: str) -> None:
        """Prepares the first option of a cascade. Raises ApiError where it cannot be asked."""
        self.route, self._ask, self._text = route, ask, text
        self._asked: list[tuple[int, Solving]] = []
        self._reading = 0  # tokens that features were made of
        self._task: asyncio.Task[None] | None = None
        policy = route.policy
        rule = policy.rule
        self._tries = None if isinstance(rule, Classifier) else policy.tries()
        self._next: int | None = None if self._tries is None else next(self._tries)
        self._solving: Solving | None = None if self._next is None else self._prepared(state, self._next)

    @property
    def served(self) -> Served:
        """The model of the option that was asked last."""
        return self._asked[-1][1].served

    @property
    def requests(self) -> Sequence[Request]:
        """One answer, to a prompt that hangs on who is asked."""
        return [Request((), (0,))]

    def start(self, state: State) -> Feed:
        """See `Work`. A classifier that must read the question first is refused here when the queue is full."""
        if self._solving is not None:
            self._solving.begin(state)
        elif state.service.open >= state.service.max_waiting:
            raise ApiError(429, "the server is busy: try again later", "queue_full")
        feed = Feed(1)
        self._task = asyncio.ensure_future(into(feed, state, self._items(state)))
        return feed

    def cancel(self) -> None:
        """Nobody wants the rest, if there is any."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
        for solving in (*(each for _, each in self._asked), self._solving):
            if solving is not None:
                solving.cancel()

    def usage(self, said: int, thought: int) -> dict[str, Any]:
        """The sums over all options that were asked; reasoning is all that the client does not see."""
        asked = [solving for _, solving in self._asked]
        written = sum(solving.spent.written_tokens for solving in asked)
        prompt, cached = sum(each.prompt_tokens for each in asked), sum(each.cached_tokens for each in asked)
        return counts(prompt, cached, written, written - asked[-1].visible)

    def extension(self) -> dict[str, Any]:
        """{whetstone: {route, option, asked, strategy, samples, rounds, agreement, confidence, verifier_tokens,
        routing_tokens}}: `option` answered, `asked` are those that were asked before, too; sums are over all."""
        names, last = self.route.options, self._asked[-1]
        told = last[1].told()
        for name, value in (("samples", "completions"), ("rounds", "rounds"), ("verifier_tokens", "verifier_tokens")):
            told[name] = sum(getattr(solving.spent, value) for _, solving in self._asked)
        route = {
            "route": self.route.name,
            "option": names[last[0]],
            "asked": [names[place] for place, _ in self._asked],
        }
        return {"whetstone": route | told | {"routing_tokens": self._reading}}

    async def _items(self, state: State) -> list[Ended]:
        """Ask until an answer is taken. Raises ApiError."""
        if self._tries is None:
            self._tries = self.route.policy.tries(await self._features(state))
            self._next = next(self._tries)
        while True:
            place = self._next
            assert place is not None
            solving = self._solving or await self._begun(state, place)
            self._solving = None
            self._asked.append((place, solving))
            choice = await solving.choose(state)
            try:
                self._next = self._tries.send(confidence(choice))
            except StopIteration as taken:
                # the option that is taken is the one that was asked last: a policy never goes back
                assert taken.value == place
                return [solving.content()]

    async def _begun(self, state: State, place: int) -> Solving:
        solving = await to_thread.run_sync(self._prepared, state, place)
        solving.begin(state)
        return solving

    def _prepared(self, state: State, place: int) -> Solving:
        served, strategy = self.route.model(place, state.models), self.route.policy.options[place].strategy
        return self._ask(served, strategy_of(strategy, Tools(state.offers.verifiers(served))))

    async def _features(self, state: State) -> Floats:
        rule = self.route.policy.rule
        assert isinstance(rule, Classifier)
        if rule.features.kind == "ngrams":
            return ngrams(self._text, rule.features.size)
        served = self.route.model(rule.features.option, state.models)
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


def check_routed(request: Sampled) -> None:
    """Raises ApiError for what has no meaning for a route."""
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
