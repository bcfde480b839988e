"""A strategy's answer by an endpoint: what it draws is asked there, and what that cost is what the endpoint charged."""

from __future__ import annotations

import time
from typing import Any

from whetstone.engine.backends import Backend
from whetstone.engine.samples import Sample
from whetstone.engine.strategies.run import FAILED
from whetstone.engine.strategies.strategy import Draw, Drawn, Question, Strategy, candidate
from whetstone.errors import UsageError
from whetstone.serving.attempt import Attempt
from whetstone.serving.bridge import Ended
from whetstone.serving.errors import ApiError, shutting_down
from whetstone.serving.far import Far
from whetstone.serving.limits import Limits
from whetstone.serving.prompts import as_dict
from whetstone.serving.sampling import seed_of
from whetstone.serving.schemas import ChatRequest
from whetstone.serving.state import State
from whetstone.serving.strategies import canonical
from whetstone.tasks.answers import read_general

ROOM = 1024  # tokens of an answer where neither the request nor --max-tokens says: an endpoint's context is not known


class Unreachable(ApiError):
    """No answer came from the endpoint: 502. A cascade may go on."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(502, f"{name} did not answer: {reason}", "endpoint_failed")


class Remote(Attempt):
    """See `Attempt`. `far`: who is asked."""

    def __init__(self, far: Far, strategy: Strategy, question: Question, extra: dict[str, Any]) -> None:
        self.far = far
        self._endpoint = far.endpoint.asking(**extra)
        self._counted = False
        self._hidden = 0  # tokens of thought that the endpoint counted
        super().__init__(strategy, question, Backend(self._endpoint))

    @property
    def fingerprint(self) -> str:
        return self.far.name

    def admit(self, state: State, wish: Draw) -> None:
        if state.closing:
            raise shutting_down()
        if self.far.open >= state.service.max_waiting:
            raise ApiError(429, f"too many wait for {self.far.name}: try again later", "queue_full")
        self.check(state.limits, wish)
        self._counted = True
        self.far.open += 1

    def cancel(self) -> None:
        if self._counted:
            self._counted = False
            self.far.open -= 1

    async def drawn(self, state: State, wish: Draw) -> Drawn:
        if self._samples:
            self.check(state.limits, wish)
        self._samples += sum(len(request.seeds) for request in wish.requests)
        began = time.perf_counter()
        try:
            answered = await self._endpoint.ask(wish.requests, wish.params, self.far.places)
        except UsageError as failure:  # at the very first contact: a wrong key, an unknown model, nobody there
            raise Unreachable(self.far.name, self._without_address(str(failure))) from None
        seconds = time.perf_counter() - began
        self._account.waited()
        completions = [each for group in answered.completions for each in group]
        if all(each.finish in FAILED and not each.text for each in completions):
            raise Unreachable(self.far.name, answered.failure or "it turned the prompt away")
        self.prompt_tokens += answered.usage.prompt
        self.cached_tokens += answered.usage.cached
        self._hidden += answered.usage.reasoning
        written = sum(each.length + 1 for each in completions)
        for request, group in zip(wish.requests, answered.completions, strict=True):
            samples = [Sample(each, seconds * (each.length + 1) / written) for each in group]
            self._account.drawn(request, samples)
        return [
            [candidate(self._question, self._backend, request, each) for each in group]
            for request, group in zip(wish.requests, answered.completions, strict=True)
        ]

    def content(self) -> Ended:
        choice = self._choice
        assert choice is not None
        own = next((each.completion for each in choice.of if each.text == choice.text), None)
        written = self.spent.written_tokens
        self.visible = max(0, min(written - self._hidden, written if own is None else own.length))
        cut = own is not None and own.finish == "length"
        return Ended(0, choice.text, "length" if cut else "stop", 0)

    def _without_address(self, reason: str) -> str:
        """The server's clients need not know where its endpoints are."""
        return reason.removeprefix(f"{self.far.endpoint.address} ")


def remote(far: Far, strategy: Strategy, request: ChatRequest, limits: Limits) -> Remote:
    """A chat for an endpoint, in the request's own words; a response_format and stop strings go with it."""
    messages = tuple(as_dict(message) for message in request.messages)
    structured = request.response_format is not None and request.response_format.type != "text"
    asked = request.max_completion_tokens or request.max_tokens or min(ROOM, limits.answer_tokens or ROOM)
    room = min(asked, limits.answer_tokens or asked)
    question = Question((messages,), canonical if structured else read_general, seed_of(request.seed), room)
    extra: dict[str, Any] = {"stop": request.stops} if request.stops else {}
    if structured and request.response_format is not None:
        extra["response_format"] = request.response_format.model_dump(by_alias=True, exclude_none=True)
    return Remote(far, strategy, question, extra)
