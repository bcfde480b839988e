"""Any OpenAI-compatible server as a `Sampler`: an API somebody sells, vLLM, llama.cpp, Ollama, or `whet serve`.

It has no tokenizer: prompts go out as messages (or as token ids, where a request has nothing else) and texts come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import ipaddress
import math
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from whetstone.engine.protocol import Completion, Progress, Request, SamplingParams
from whetstone.engine.remote import wire
from whetstone.engine.remote.credentials import ApiKey
from whetstone.engine.remote.delivery import Delivery, Undelivered
from whetstone.engine.remote.settings import EndpointSettings
from whetstone.engine.remote.usage import Usage
from whetstone.errors import UsageError

# So many failures in a row, each after its retries, and the rest is not asked any more.
GIVE_UP_AFTER = 12
CONNECT_SECONDS = 10.0
BYTES_PER_TOKEN = 3  # for the rate limit's first guess only; the server's own count replaces it


@dataclass(frozen=True)
class _Job:
    """Answers `places` of request number `request`, asked together."""

    request: int
    places: tuple[int, ...]


class Endpoint:
    """Samples from the model that a server at `address` (…/v1) calls `model`.

    A request that fails for good becomes completions that finish with "refused", "timeout" or "error", so that one bad
    answer does not cost an evaluation; `failures` counts them and `last_failure` says why. Each completion is asked for
    apart, with its own seed; whether equal seeds give equal answers is the server's affair. `weight_version` is 0.

    Raises UsageError for an address that is none.
    """

    def __init__(
        self, address: str, model: str, key: ApiKey | None = None, settings: EndpointSettings | None = None
    ) -> None:
        self.address = checked_address(address)
        self.model = model
        self.settings = settings or EndpointSettings()
        self.usage = Usage()
        self.failures: Counter[str] = Counter()
        self.last_failure = ""
        self._single = self.settings.answers_per_request == 1
        self._delivery = Delivery(self.address, model, key, self.settings, self.usage, wire.Dialect())

    def __repr__(self) -> str:
        return f"Endpoint({self.address!r}, {self.model!r})"

    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        """See `Sampler.sample`. Raises UsageError when the very first call shows that no other can succeed: wrong key,
        unknown model, nobody there. Ctrl-C drops what is under way."""
        if params.max_new_tokens < 1 or any(not (request.prompt_ids or request.messages) for request in requests):
            raise ValueError("every prompt needs a message or a token, and max_new_tokens must be at least 1")
        return _run(lambda: _Sampling(self, requests, params, progress).all())

    def asking(self, **extra: Any) -> Endpoint:
        """The same endpoint with further parameters in every request (such as response_format). Usage and failures are
        counted together, and what the server was found not to take stays known."""
        other = copy.copy(self)
        other.settings = self.settings.model_copy(update={"extra": self.settings.extra | extra})
        return other

    def facts(self) -> dict[str, Any]:
        """For a report: {kind, address, model, usage, failures, left_out, extra}, and `cost` where prices are known."""
        facts: dict[str, Any] = {
            "kind": "endpoint",
            "address": self.address,
            "model": self.model,
            "usage": self.usage.to_dict(),
            "failures": dict(self.failures),
            "left_out": sorted(self._delivery.dialect.left_out | set(self.settings.omit)),
            "extra": self.settings.extra,
        }
        if self.failures:
            facts["last_failure"] = self.last_failure
        if self.settings.prices is not None:
            facts["cost"] = self.usage.cost(self.settings.prices)
        return facts


class _Sampling:
    """One call of `Endpoint.sample`."""

    def __init__(
        self, endpoint: Endpoint, requests: Sequence[Request], params: SamplingParams, progress: Progress | None
    ) -> None:
        self.endpoint, self.requests, self.params, self.progress = endpoint, requests, params, progress
        self.results: list[list[Completion | None]] = [[None] * len(request.seeds) for request in requests]
        self.done, self.wanted = 0, sum(len(request.seeds) for request in requests)
        together = 1 if endpoint._single else endpoint.settings.answers_per_request
        self.jobs = deque(
            _Job(number, tuple(range(first, min(first + together, len(request.seeds)))))
            for number, request in enumerate(requests)
            for first in range(0, len(request.seeds), together)
        )
        self.deadline = time.monotonic() + (endpoint.settings.deadline or math.inf)
        self.in_a_row = 0
        self.given_up: Undelivered | None = None

    async def all(self) -> list[list[Completion]]:
        """Everything that was asked for. The first goes alone: what is wrong shows before many are sent."""
        async with _client(self.endpoint.address, self.endpoint._delivery.key) as http:
            if self.jobs:
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
            completions = await self._ask(http, job)
            self.in_a_row = 0
        except Undelivered as failure:
            completions = self._failed(job, failure)
        if len(completions) < len(job.places):  # a server that knows no `n`: the rest is asked for one by one
            self.endpoint._single = True
            self.jobs.extend(_Job(job.request, (place,)) for place in job.places[len(completions) :])
        for place, completion in zip(job.places, completions, strict=False):
            self.results[job.request][place] = completion
        self.done += len(completions)
        if self.progress is not None:
            self.progress(self.done, self.wanted)

    def _failed(self, job: _Job, failure: Undelivered) -> list[Completion]:
        endpoint = self.endpoint
        if failure.hopeless and not endpoint._delivery.contacted:
            raise UsageError(f"{endpoint.address} {failure}")
        if failure.finish == "refused":
            self.in_a_row = 0
        elif self.given_up is None:
            self.in_a_row += 1
            if failure.hopeless or self.in_a_row >= GIVE_UP_AFTER:
                self.given_up = failure
        endpoint.failures[failure.finish] += len(job.places)
        endpoint.last_failure = f"{endpoint.address}: {failure}"
        return [Completion((), (), failure.finish, 0, text="", token_count=0) for _ in job.places]

    async def _ask(self, http: httpx.AsyncClient, job: _Job) -> list[Completion]:
        """The answers to one job, fewer where the server gives fewer. Raises Undelivered."""
        endpoint, request, count = self.endpoint, self.requests[job.request], len(job.places)
        delivery, settings = endpoint._delivery, endpoint.settings

        def compose() -> dict[str, Any]:
            seed = request.seeds[job.places[0]]
            limits = request.limited(self.params)
            return wire.body(endpoint.model, request, seed, count, limits, settings, delivery.dialect)

        path = "chat/completions" if request.messages else "completions"
        response = await delivery.send(http, path, compose, self._estimate(request, count), self.deadline)
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


def checked_address(address: str) -> str:
    """The address without its last slash. A secret in it would be shown in reports: there is another way for it."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as failure:
        raise UsageError(f"not an address of an endpoint: {failure}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError("an endpoint's address looks like https://HOST/v1")
    if url.userinfo or url.query or url.fragment:
        raise UsageError("an endpoint's address may hold no password, query or fragment: name a key by --api-key-file")
    return str(url).rstrip("/")


def is_loopback(address: str) -> bool:
    """Whether the host of an address is this machine."""
    host = httpx.URL(address).host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    return ip.is_loopback or ip.is_unspecified


def environment_key(address: str) -> ApiKey | None:
    """$OPENAI_API_KEY for an address by https or on this machine, else None: the variable was meant for some endpoint,
    not for any, and goes where nobody on the way can read it."""
    return ApiKey.from_environment() if address.startswith("https://") or is_loopback(address) else None


@functools.cache
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # reading the authorities takes longer than many an answer: once


def _client(address: str, key: ApiKey | None) -> httpx.AsyncClient:
    """Redirects are not followed, so that the key goes to one host only. Proxies of the environment are not for us."""
    headers = {"accept": "application/json", "user-agent": "whetstone"}
    if key is not None:
        headers["authorization"] = key.authorization
    return httpx.AsyncClient(
        headers=headers,
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=None),
        verify=_certificates(),
        follow_redirects=False,
        trust_env=not is_loopback(address),
    )


def _run(work: Callable[[], Coroutine[Any, Any, list[list[Completion]]]]) -> list[list[Completion]]:
    """Run to the end; in a thread where this one has an event loop already (a notebook, a server)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    outcome: list[list[list[Completion]]] = []
    failure: list[BaseException] = []
    ended = threading.Event()
    begun: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def seen() -> list[list[Completion]]:
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
