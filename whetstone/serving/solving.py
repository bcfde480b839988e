"""A strategy's answer to one HTTP request: its generator is driven in the event loop, the engines' thread draws.

What is drawn goes through the service like any client's prompt: it takes places in the queue, is refused when the
queue is full, and ends when the client goes. Verifiers work in the engines' thread between two steps.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.samples import Sample
from whetstone.engine.strategies.strategy import Candidate, Draw, Drawn, Question, Strategy
from whetstone.errors import UsageError, WorkFailed
from whetstone.models.tokenizer import Tokenizer
from whetstone.serving.attempt import Attempt
from whetstone.serving.bridge import Ended, Failed, Feed, Item, Token
from whetstone.serving.drawing import Drawing, Ear
from whetstone.serving.errors import ApiError, bad, shutting_down
from whetstone.serving.generation import Member, TextRules, admitted, counts
from whetstone.serving.models import Served
from whetstone.serving.state import State

_log = logging.getLogger(__name__)
RETRY_SECONDS = 0.02  # between two looks whether the queue has room for a further round
PATIENCE = 60.0  # seconds that a further round waits for it


@dataclass(frozen=True)
class Asking:
    """A request as strategies see it. `own`: the client's prompt. `params`: what the request says about sampling; a
    draw keeps its own length and temperature. `content`: an answer's text without its thinking section. `details`: the
    client wants ids or log-probabilities."""

    question: Question
    backend: Backend
    own: Request
    params: SamplingParams
    rules: TextRules
    content: Callable[[str], str]
    details: bool = False


class Solving(Attempt):
    """The work of one request that a strategy answers with a model of this server. See `Work`."""

    chooses = True

    def __init__(self, served: Served, strategy: Strategy, asking: Asking) -> None:
        super().__init__(strategy, asking.question, asking.backend, served.loaded.model.config)
        self.served = served
        self.requests: Sequence[Request] = [asking.own]
        self._asking = asking
        self._first: list[Drawing] = []
        self._drawings: list[Drawing] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def fingerprint(self) -> str:
        return self.served.fingerprint

    @property
    def tokenizer(self) -> Tokenizer:
        return self.served.loaded.tokenizer

    def start(self, state: State) -> Feed:
        """See `Work`."""
        self.begin(state)
        feed = Feed(1)

        async def items() -> list[Item]:
            await self.choose(state)
            return self._items()

        self._task = asyncio.ensure_future(into(feed, state, items()))
        return feed

    def admit(self, state: State, wish: Draw) -> None:
        self._first = self._submit(state, wish)

    async def drawn(self, state: State, wish: Draw) -> Drawn:
        first, self._first = self._first, []
        return await self._drawn(first or await self._queued(state, wish))

    def cancel(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
        for drawing in self._drawings:
            drawing.cancel()
        self._drawings.clear()

    def usage(self, said: int, thought: int) -> dict[str, Any]:
        """All that was written counts as completion, and what the client does not see of it as reasoning."""
        written = self.spent.written_tokens
        visible = min(written, said - thought if said else self.visible)
        return counts(self.prompt_tokens, self.cached_tokens, written, written - visible)

    def extension(self) -> dict[str, Any]:
        """{whetstone: {strategy, samples, rounds, agreement, confidence, verifier_tokens}}."""
        return {"whetstone": self.told()}

    def content(self) -> Ended:
        choice, own = self._choice, self._own()
        assert choice is not None
        text = self._asking.content(choice.text if own is None else "".join(token.text for token in self._tokens(own)))
        self.visible = min(len(self.served.loaded.tokenizer.encode(text)), self.spent.written_tokens)
        return Ended(0, text, "stop" if own is None else own.completion.finish, self.served.engine.weight_version)

    def _submit(self, state: State, wish: Draw) -> list[Drawing]:
        """Queue what is wanted, in pieces that are as large as a client's own requests may be. Raises ApiError."""
        params = self._merged(wish.params)
        self.check(state.limits, wish)
        own = self.requests[0].prompt_ids
        if params.constraint is not None and any(request.prompt_ids != own for request in wish.requests):
            name = self.strategy.name
            raise bad(f"{name} goes on with texts, which a response_format does not allow", "response_format")
        most, drawings = state.limits.choices, [Drawing.of(request) for request in wish.requests]
        self._drawings += drawings
        with admitted(state, self.served):
            for drawing in drawings:
                seeds = drawing.request.seeds
                for first in range(0, len(seeds), most):
                    part = replace(drawing.request, seeds=seeds[first : first + most])
                    ear = Ear(drawing, self.served, self._asking.rules, first, len(part.seeds))
                    drawing.tickets.append(state.service.submit(self.served.engine, part, params, ear))
        self._samples += sum(len(request.seeds) for request in wish.requests)
        return drawings

    async def _queued(self, state: State, wish: Draw) -> list[Drawing]:
        """As `_submit`; a further round waits for room, as what was drawn before would be lost."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._submit(state, wish)
            except ApiError as failure:
                for drawing in self._drawings:
                    drawing.cancel()
                self._drawings.clear()
                if failure.status != 429 or state.closing or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(RETRY_SECONDS)

    def _merged(self, params: SamplingParams) -> SamplingParams:
        asked = self._asking.params
        return replace(
            params,
            top_k=asked.top_k,
            top_p=asked.top_p,
            min_p=asked.min_p,
            repetition_penalty=asked.repetition_penalty,
            presence_penalty=asked.presence_penalty,
            frequency_penalty=asked.frequency_penalty,
            logit_bias=asked.logit_bias,
            constraint=asked.constraint,
            top_logprobs=max(params.top_logprobs, asked.top_logprobs),
        )

    async def _drawn(self, drawings: Sequence[Drawing]) -> Drawn:
        began = time.perf_counter()
        await asyncio.gather(*(drawing.future for drawing in drawings))
        seconds = time.perf_counter() - began
        self._account.waited()
        for completion in (each for drawing in drawings for each in drawing.done):
            if completion.finish == "cancelled":
                raise shutting_down()
            if completion.finish not in ("stop", "length"):
                raise ApiError(500, "the answer could not be computed", "generation_failed")
        written = sum(completion.length + 1 for drawing in drawings for completion in drawing.done)
        for drawing in drawings:
            samples = [Sample(each, seconds * (each.length + 1) / written) for each in drawing.done]
            self._account.drawn(drawing.request, samples)
            self.prompt_tokens += len(drawing.request.prompt_ids)
            job = drawing.tickets[0].job
            self.cached_tokens += 0 if job is None else job.cached_tokens or 0
            self._drawings.remove(drawing)
        return [drawing.candidates(self._question) for drawing in drawings]

    def _items(self) -> list[Item]:
        """The answer as the feed carries it: token by token where it is one of the samples, else as a text."""
        own = self._own()
        if own is not None:
            return [*self._tokens(own), Ended(0, "", own.completion.finish, own.completion.weight_version)]
        if self._asking.details:
            raise bad(f"an answer of {self.strategy.name} is no single sample: it has no log-probabilities or ids")
        assert self._choice is not None
        return [replace(self.content(), text=self._choice.text)]  # the client's reader takes the thinking off itself

    def _own(self) -> Candidate | None:
        """The candidate that is the answer, behind the client's own prompt; None where it was put together."""
        choice, ids = self._choice, self.requests[0].prompt_ids
        assert choice is not None
        found = (each for each in choice.of if each.text == choice.text and each.request.prompt_ids == ids)
        return next(found, None)

    def _tokens(self, own: Candidate) -> list[Token]:
        """The sample's tokens again, each with the text that became certain with it."""
        completion, stops = own.completion, self._asking.rules.stop_ids
        member = Member(self.served, self._asking.rules)
        texts = ["" if token in stops else member.feed(token) for token in completion.ids]
        if texts:
            texts[-1] += member.finish()
        tops = completion.top or (None,) * len(completion.ids)
        return [
            Token(0, token, logprob, top, text, token in stops)
            for token, logprob, top, text in zip(completion.ids, completion.logprobs, tops, texts, strict=True)
        ]


async def into(feed: Feed, state: State, items: Awaitable[Sequence[Item]]) -> None:
    """Put the items into the feed, or what goes wrong."""
    try:
        for item in await items:
            feed.receive(item)
    except ApiError as failure:
        feed.receive(Failed(0, failure))
    except UsageError as failure:  # a verifier that cannot judge what this model gives
        feed.receive(Failed(0, bad(str(failure), "model", "strategy_refused")))
    except WorkFailed as failure:
        feed.receive(Failed(0, shutting_down() if state.closing else ApiError(500, str(failure), "work_failed")))
    except Exception:
        _log.exception("a strategy failed")
        feed.receive(Failed(0, ApiError(500, "the answer could not be computed", "generation_failed")))
