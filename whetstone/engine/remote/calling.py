"""One call of an endpoint's sampler: its completions asked for beside each other, with the failures of some counted."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from whetstone.engine.protocol import Completion, Progress, Request, SamplingParams
from whetstone.engine.remote import wire
from whetstone.engine.remote.delivery import Undelivered
from whetstone.engine.remote.events import Heard
from whetstone.engine.remote.usage import Usage
from whetstone.errors import UsageError

if TYPE_CHECKING:
    from whetstone.engine.remote.endpoint import Endpoint

T = TypeVar("T")
# So many failures in a row, each after its retries, and the rest is not asked any more.
GIVE_UP_AFTER = 12
CONNECT_SECONDS = 10.0
BYTES_PER_TOKEN = 3  # for the rate limit's first guess only; the server's own count replaces it


@dataclass(frozen=True)
class _Job:
    """Answers `places` of request number `request`, asked together."""

    request: int
    places: tuple[int, ...]


class Call:
    """What is asked of an endpoint at once. `places`: bounds what several calls in one event loop ask at the same time.
    `heard`: is told the text as it comes; for one completion only.

    `usage` is what this call alone was charged for, `failure` the reason of the last completion that never came.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        requests: Sequence[Request],
        params: SamplingParams,
        progress: Progress | None = None,
        places: asyncio.Semaphore | None = None,
        heard: Heard | None = None,
    ) -> None:
        if params.max_new_tokens < 1 or any(not (request.prompt_ids or request.messages) for request in requests):
            raise ValueError("every prompt needs a message or a token, and max_new_tokens must be at least 1")
        self.endpoint, self.requests, self.params, self.progress = endpoint, requests, params, progress
        self.places, self.heard = places or contextlib.nullcontext(), heard
        self.usage, self.failure = Usage(), ""
        self.results: list[list[Completion | None]] = [[None] * len(request.seeds) for request in requests]
        self.done, self.wanted = 0, sum(len(request.seeds) for request in requests)
        together = 1 if endpoint.single else endpoint.settings.answers_per_request
        self.jobs = deque(
            _Job(number, tuple(range(first, min(first + together, len(request.seeds)))))
            for number, request in enumerate(requests)
            for first in range(0, len(request.seeds), together)
        )
        self.deadline = time.monotonic() + (endpoint.settings.deadline or math.inf)
        self.in_a_row = 0
        self.given_up: Undelivered | None = None

    async def all(self) -> list[list[Completion]]:
        """Everything that was asked for. The first that an endpoint ever hears goes alone: what is wrong shows before
        many are sent. Raises UsageError as `Endpoint.sample` does."""
        async with _client(self.endpoint) as http:
            if self.jobs and not self.endpoint.delivery.contacted:
                await self._answer(http, self.jobs.popleft())
            workers = [
                asyncio.ensure_future(self._work(http))
                for _ in range(min(self.endpoint.settings.concurrency, len(self.jobs)))
            ]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        return [[each for each in group if each is not None] for group in self.results]

    async def _work(self, http: httpx.AsyncClient) -> None:
        while self.jobs:
            await self._answer(http, self.jobs.popleft())

    async def _answer(self, http: httpx.AsyncClient, job: _Job) -> None:
        try:
            if self.given_up is not None:
                raise self.given_up
            async with self.places:
                completions = await self._ask(http, job)
            self.in_a_row = 0
        except Undelivered as failure:
            completions = self._failed(job, failure)
        if len(completions) < len(job.places):  # a server that knows no `n`: the rest is asked for one by one
            self.endpoint.single = True
            self.jobs.extend(_Job(job.request, (place,)) for place in job.places[len(completions) :])
        for place, completion in zip(job.places, completions, strict=False):
            self.results[job.request][place] = completion
        self.done += len(completions)
        if self.progress is not None:
            self.progress(self.done, self.wanted)

    def _failed(self, job: _Job, failure: Undelivered) -> list[Completion]:
        endpoint = self.endpoint
        if failure.hopeless and not endpoint.delivery.contacted:
            raise UsageError(f"{endpoint.address} {failure}")
        if failure.finish == "refused":
            self.in_a_row = 0
        elif self.given_up is None:
            self.in_a_row += 1
            if failure.hopeless or self.in_a_row >= GIVE_UP_AFTER:
                self.given_up = failure
        endpoint.failures[failure.finish] += len(job.places)
        self.failure, endpoint.last_failure = str(failure), f"{endpoint.address}: {failure}"
        return [Completion((), (), failure.finish, 0, text="", token_count=0) for _ in job.places]

    async def _ask(self, http: httpx.AsyncClient, job: _Job) -> list[Completion]:
        """The answers to one job, fewer where the server gives fewer. Raises Undelivered."""
        endpoint, request, count = self.endpoint, self.requests[job.request], len(job.places)
        delivery, settings = endpoint.delivery, endpoint.settings

        def compose() -> dict[str, Any]:
            seed = request.seeds[job.places[0]]
            limits = request.limited(self.params)
            content = wire.body(endpoint.model, request, seed, count, limits, settings, delivery.dialect)
            return content if self.heard is None else wire.streamed(content, delivery.dialect)

        path = "chat/completions" if request.messages else "completions"
        response = await delivery.send(http, path, compose, self._estimate(request, count), self.deadline, self.heard)
        self.usage.add(response.get("usage"))
        tokens = endpoint.usage.add(response.get("usage"))
        try:
            found = wire.choices(response, count)
        except wire.Malformed as failure:
            raise Undelivered("error", f"it sent {failure}") from None
        endpoint.failures.update(choice.finish for choice in found if choice.finish == "refused")
        # the server counts all answers of a request together: an even share each, the rest to the first
        shares = [tokens // len(found) + (place < tokens % len(found)) for place in range(len(found))] if tokens else []
        return [
            Completion(
                choice.ids,
                choice.logprobs,
                choice.finish,
                0,
                text=choice.text,
                token_count=len(choice.ids) or (shares[place] if shares else len(choice.logprobs)),
            )
            for place, choice in enumerate(found)
        ]

    def _estimate(self, request: Request, count: int) -> float:
        """Tokens that a request may take, as servers count for their limits: the prompt and all that may come."""
        prompt = len(request.prompt_ids) or sum(
            4 + math.ceil(len(message["content"].encode()) / BYTES_PER_TOKEN) for message in request.messages
        )
        return prompt + count * (request.limited(self.params).max_new_tokens + self.endpoint.settings.reasoning_room)


@functools.cache
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # reading the authorities takes longer than many an answer: once


def _client(endpoint: Endpoint) -> httpx.AsyncClient:
    """Redirects are not followed, so that the key goes to one host only. Proxies of the environment are not for us."""
    headers = {"accept": "application/json", "user-agent": "whetstone"}
    key = endpoint.delivery.key
    if key is not None:
        headers["authorization"] = key.authorization
    return httpx.AsyncClient(
        headers=headers,
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=None),
        verify=_certificates(),
        follow_redirects=False,
        trust_env=not endpoint.loopback,
    )


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run to the end; in a thread where this one has an event loop already (a notebook, a server)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    outcome: list[T] = []
    failure: list[BaseException] = []
    ended = threading.Event()
    begun: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def seen() -> T:
        task = asyncio.current_task()
        assert task is not None
        begun.append((asyncio.get_running_loop(), task))
        return await work()

    def apart() -> None:
        try:
            outcome.append(asyncio.run(seen()))
        except BaseException as error:  # handed on to the thread that asked
            failure.append(error)
        finally:
            ended.set()

    # an event and no join: a join that Ctrl-C interrupts takes the thread for ended. In short turns: a signal that
    # another thread received is noticed between them.
    threading.Thread(target=apart, name="endpoint", daemon=True).start()
    try:
        while not ended.wait(0.1):
            pass
    except BaseException:  # Ctrl-C: nothing goes on being asked behind the user's back
        for loop, task in begun:
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                loop.call_soon_threadsafe(task.cancel)
        ended.wait()
        raise
    if failure:
        raise failure[0]
    return outcome[0]
