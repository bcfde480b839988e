"""A strategy's answer to one HTTP request: its generator is driven in the event loop, the engines' thread draws.

What is drawn goes through the service like any client's prompt: it takes places in the queue, is refused when the
queue is full, and ends when the client goes. Verifiers work in the engines' thread between two steps.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Completion, Request, SamplingParams, TopLogprobs
from whetstone.engine.samples import Sample
from whetstone.engine.selection import totals
from whetstone.engine.service import Ticket
from whetstone.engine.strategies.run import Account
from whetstone.engine.strategies.spending import Spent
from whetstone.engine.strategies.strategy import Candidate, Choice, Draw, Drawn, Question, Score, Strategy
from whetstone.errors import UsageError, WorkFailed
from whetstone.serving.bridge import Ended, Failed, Feed, Item, Token
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


@dataclass
class _Drawing:
    """One request of a draw, on its way: what its sequences wrote."""

    request: Request
    future: asyncio.Future[None]
    completions: list[Completion | None]
    pieces: list[list[str]]  # the text that came with each token, and the rest; by sequence
    tickets: list[Ticket] = field(default_factory=list)

    def candidates(self, question: Question) -> list[Candidate]:
        found = []
        for completion, pieces in zip(self.completions, self.pieces, strict=True):
            assert completion is not None
            text = "".join(pieces)
            found.append(Candidate(self.request, completion, text, question.read(text)))
        return found


class _Ear:
    """Listens to some sequences of a drawing, from number `first` on, in the engines' thread."""

    def __init__(self, drawing: _Drawing, served: Served, rules: TextRules, first: int, members: int) -> None:
        self._drawing, self._first, self._stop_ids = drawing, first, rules.stop_ids
        self._members = [Member(served, rules) for _ in range(members)]
        self._loop = asyncio.get_running_loop()

    def token(self, member: int, token: int, logprob: float, top: TopLogprobs | None) -> bool:
        state = self._members[member]
        self._drawing.pieces[self._first + member].append("" if token in self._stop_ids else state.feed(token))
        return state.stopped

    def finished(self, member: int, completion: Completion) -> None:
        place = self._first + member
        self._drawing.pieces[place].append(self._members[member].finish())
        self._drawing.completions[place] = completion
        if None not in self._drawing.completions:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if not self._drawing.future.done():
            self._drawing.future.set_result(None)


class Solving:
    """The work of one request that a strategy answers. See `Work`."""

    chooses = True

    def __init__(self, served: Served, strategy: Strategy, asking: Asking) -> None:
        self.served, self.strategy = served, strategy
        self.requests: Sequence[Request] = [asking.own]
        self._asking = asking
        self._account = Account(served.loaded.model.config)
        self._choice: Choice | None = None
        self._visible = 0  # tokens of an answer that is no single sample
        self._prompt_tokens = self._cached_tokens = self._samples = 0
        self._drawings: list[_Drawing] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def spent(self) -> Spent:
        """What it has cost so far."""
        return self._account.spent

    def start(self, state: State) -> Feed:
        """Queue the first draw. Raises ApiError as `Generation.start` does; 400 where the strategy cannot do it."""
        feed = Feed(1)
        self._steps = self.strategy.solve(self._asking.question, self._asking.backend)
        try:
            wish = self._go_on(None)
            drawings = self._submit(state, wish) if isinstance(wish, Draw) else []
        except ApiError:
            self.cancel()
            raise
        self._task = asyncio.ensure_future(self._run(state, wish, drawings, feed))
        return feed

    def cancel(self) -> None:
        """Nobody wants the rest, if there is any."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
        for drawing in self._drawings:
            for ticket in drawing.tickets:
                ticket.cancel()
        self._drawings.clear()

    def usage(self, said: int, thought: int) -> dict[str, Any]:
        """All that was written counts as completion, and what the client does not see of it as reasoning."""
        written = self.spent.written_tokens
        visible = min(written, said - thought if said else self._visible)
        return counts(self._prompt_tokens, self._cached_tokens, written, written - visible)

    def extension(self) -> dict[str, Any]:
        """{whetstone: {strategy, samples, rounds, agreement, confidence, verifier_tokens}}; agreement is the share of
        candidates that say the same as the answer."""
        choice = self._choice
        assert choice is not None
        votes = totals([each.answer for each in choice.of])
        agreement = votes.get(choice.answer, 0.0) / len(choice.of) if choice.answer is not None and choice.of else None
        return {
            "whetstone": {
                "strategy": self.strategy.name,
                "samples": self.spent.completions,
                "rounds": self.spent.rounds,
                "agreement": agreement,
                "confidence": choice.confidence,
                "verifier_tokens": self.spent.verifier_tokens,
            }
        }

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

    async def _run(self, state: State, wish: Draw | Score | None, drawings: list[_Drawing], feed: Feed) -> None:
        """From the first draw to the answer, which goes into the feed; so does what goes wrong."""
        try:
            while wish is not None:
                if isinstance(wish, Score):
                    wish = self._go_on(await self._score(state, wish))
                else:
                    wish = self._go_on(await self._drawn(state, wish, drawings or await self._queued(state, wish)))
                    drawings = []
            for item in self._items():
                feed.receive(item)
        except ApiError as failure:
            feed.receive(Failed(0, failure))
        except WorkFailed as failure:
            feed.receive(Failed(0, shutting_down() if state.closing else ApiError(500, str(failure), "work_failed")))
        except Exception:
            _log.exception("the strategy %s failed", self.strategy.name)
            feed.receive(Failed(0, ApiError(500, "the answer could not be computed", "generation_failed")))

    def _submit(self, state: State, wish: Draw) -> list[_Drawing]:
        """Queue what is wanted, in pieces that are as large as a client's own requests may be. Raises ApiError."""
        params = self._merged(wish.params)
        self._check(state, wish, params)
        drawings = []
        with admitted(state, self.served):
            for request in wish.requests:
                count = len(request.seeds)
                future = asyncio.get_running_loop().create_future()
                drawing = _Drawing(request, future, [None] * count, [[] for _ in range(count)])
                drawings.append(drawing)
                self._drawings.append(drawing)
                for first in range(0, count, state.limits.choices):
                    part = replace(request, seeds=request.seeds[first : first + state.limits.choices])
                    ear = _Ear(drawing, self.served, self._asking.rules, first, len(part.seeds))
                    drawing.tickets.append(state.service.submit(self.served.engine, part, params, ear))
        return drawings

    async def _queued(self, state: State, wish: Draw) -> list[_Drawing]:
        """As `_submit`; a further round waits for room, as what was drawn before would be lost."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._submit(state, wish)
            except ApiError as failure:
                for drawing in self._drawings:
                    for ticket in drawing.tickets:
                        ticket.cancel()
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

    def _check(self, state: State, wish: Draw, params: SamplingParams) -> None:
        limits, name = state.limits, self.strategy.name
        self._samples += sum(len(request.seeds) for request in wish.requests)
        if self._samples > limits.samples:
            message = f"{name} draws more than the {limits.samples} samples that this server gives to an answer"
            raise bad(message, "model", "too_many_samples")
        if self.spent.written_tokens > limits.hidden_tokens:
            message = f"{name} wrote more than the {limits.hidden_tokens} tokens that this server gives to an answer"
            raise bad(message, "model", "too_many_tokens")
        if params.constraint is not None and any(
            each.prompt_ids != self.requests[0].prompt_ids for each in wish.requests
        ):
            raise bad(f"{name} goes on with texts, which a response_format does not allow", "response_format")

    async def _drawn(self, state: State, wish: Draw, drawings: list[_Drawing]) -> Drawn:
        began = time.perf_counter()
        await asyncio.gather(*(drawing.future for drawing in drawings))
        seconds = time.perf_counter() - began
        self._account.waited()
        done = [[each for each in drawing.completions if each is not None] for drawing in drawings]
        for completion in (each for group in done for each in group):
            if completion.finish == "cancelled":
                raise shutting_down()
            if completion.finish not in ("stop", "length"):
                raise ApiError(500, "the answer could not be computed", "generation_failed")
        written = sum(completion.length + 1 for group in done for completion in group)
        for drawing, group in zip(drawings, done, strict=True):
            samples = [Sample(each, seconds * (each.length + 1) / written) for each in group]
            self._account.drawn(drawing.request, samples)
            self._prompt_tokens += len(drawing.request.prompt_ids)
            job = drawing.tickets[0].job
            self._cached_tokens += 0 if job is None else job.cached_tokens or 0
            self._drawings.remove(drawing)
        return [drawing.candidates(self._asking.question) for drawing in drawings]

    async def _score(self, state: State, wish: Score) -> list[float]:
        began = time.perf_counter()
        scores = await state.in_engine(lambda: wish.verifier.score(wish.candidates))
        self._account.scored(scores.tokens, scores.flops, time.perf_counter() - began)
        return list(scores.values)

    def _items(self) -> list[Item]:
        """The answer as the feed carries it: token by token where it is one of the samples, else as a text."""
        choice = self._choice
        assert choice is not None
        own = next((each for each in choice.of if each.text == choice.text), None)
        version = self.served.engine.weight_version
        if own is None or own.request.prompt_ids != self.requests[0].prompt_ids:
            if self._asking.details:
                raise bad(f"an answer of {self.strategy.name} is no single sample: it has no log-probabilities or ids")
            content = self._asking.content(choice.text)
            self._visible = len(self.served.loaded.tokenizer.encode(content))
            return [Ended(0, choice.text, "stop" if own is None else _ending(own), version)]
        return [*self._tokens(own), Ended(0, "", _ending(own), own.completion.weight_version)]

    def _tokens(self, own: Candidate) -> list[Item]:
        """The sample's tokens again with their text, which the first of them brings along."""
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


def _ending(candidate: Candidate) -> Any:
    return candidate.completion.finish
