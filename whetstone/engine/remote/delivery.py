"""One call to an endpoint, seen through: paced, timed, repeated where repeating can help, and every failure named."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from whetstone.engine.remote import wire
from whetstone.engine.remote.credentials import VARIABLE, ApiKey
from whetstone.engine.remote.events import Heard, Stream
from whetstone.engine.remote.pace import Pace, backoff, retry_after
from whetstone.engine.remote.settings import EndpointSettings
from whetstone.engine.remote.usage import Usage

LARGEST_RESPONSE = 32 << 20  # bytes; the largest honest answer, 128 choices with log-probabilities, is far below
WORTH_REPEATING = frozenset({408, 409, 425, 429})  # and everything from 500 on
UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class Undelivered(Exception):
    """No answer will come. `hopeless`: nor will one to any other request (wrong key, unknown model, no such host)."""

    def __init__(self, finish: Literal["refused", "timeout", "error"], reason: str, hopeless: bool = False) -> None:
        super().__init__(reason)
        self.finish = finish
        self.hopeless = hopeless


class _Again(Exception):
    """Worth another attempt, `after` so many seconds where the server said so."""

    def __init__(self, reason: str, after: float | None = None, timeout: bool = False) -> None:
        super().__init__(reason)
        self.after = after
        self.timeout = timeout


@dataclass
class Delivery:
    """Sends requests to one endpoint. What it learns (usage, pace, dialect) outlives the connections of one call."""

    address: str
    model: str
    key: ApiKey | None
    settings: EndpointSettings
    usage: Usage
    dialect: wire.Dialect

    def __post_init__(self) -> None:
        self.requests = Pace(self.settings.requests_per_minute)
        self.tokens = Pace(self.settings.tokens_per_minute)
        self.contacted = False  # whether the endpoint has ever answered a request
        self._not_before = 0.0
        self._chance = random.Random()

    async def send(
        self,
        http: httpx.AsyncClient,
        path: str,
        compose: Callable[[], dict[str, Any]],
        tokens: float,
        deadline: float,
        heard: Heard | None = None,
    ) -> dict[str, Any]:
        """The JSON of a response to `compose()`, which is asked anew for each attempt.

        `tokens`: estimate of what it takes, prompt and answer. `deadline`: reading of time.monotonic. `heard`: is told
        the text of a response that comes as a stream; once it was told some, nothing is asked again. Raises
        Undelivered.
        """
        failures = 0
        while True:
            await self._turn(tokens, deadline)
            correct = self.tokens.spend(time.monotonic(), tokens)
            self.requests.spend(time.monotonic())
            self.usage.requests += 1
            content = compose()
            stream = None if heard is None else Stream(heard, self.key)
            try:
                response = await self._attempt(http, path, content, deadline, stream)
            except _Again as failure:
                if stream is not None and stream.began:
                    finish: Literal["timeout", "error"] = "timeout" if failure.timeout else "error"
                    raise Undelivered(finish, f"{failure}, in the middle of the answer") from None
                if failures == self.settings.retries:
                    times = f" ({failures + 1} attempts)" if failures else ""
                    raise Undelivered("timeout" if failure.timeout else "error", f"{failure}{times}") from None
                await self._rest(failure, failures, deadline)
                failures += 1
                self.usage.retries += 1
                continue
            if response is None:  # the dialect changed: the same at once, in other words
                continue
            self.contacted = True
            if used := _total(response):
                correct(used)
            return response

    async def _turn(self, tokens: float, deadline: float) -> None:
        """Wait until the rate limits, and a pause that the server asked for, allow one more request."""
        while True:
            now = time.monotonic()
            wait = max(self.requests.wait(now), self.tokens.wait(now, tokens), self._not_before - now)
            if now + max(wait, 0.0) >= deadline:
                raise Undelivered("timeout", "the deadline came before its turn")
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    async def _rest(self, failure: _Again, failures: int, deadline: float) -> None:
        settings = self.settings
        wait = backoff(failures, settings.backoff, settings.longest_wait, self._chance)
        if failure.after is not None:
            if failure.after > settings.longest_wait:
                raise Undelivered("error", f"{failure}, and it asks to wait {failure.after:.0f} s, which is too long")
            # everybody waits, and not all come back at the same moment
            self._not_before = max(self._not_before, time.monotonic() + failure.after)
            wait = failure.after + min(wait, settings.backoff)
        if time.monotonic() + wait >= deadline:
            raise Undelivered("timeout", f"{failure}, and the deadline came before another attempt")
        await asyncio.sleep(wait)

    async def _attempt(
        self, http: httpx.AsyncClient, path: str, content: dict[str, Any], deadline: float, stream: Stream | None
    ) -> dict[str, Any] | None:
        """One exchange; None: ask again, in the dialect that was just learnt."""
        seconds = min(self.settings.timeout, deadline - time.monotonic())
        try:
            async with asyncio.timeout(seconds):
                status, headers, said = await self._exchange(http, path, content, stream)
        except TimeoutError:
            raise _Again(f"no answer within {seconds:.3g} s", timeout=True) from None
        except UNREACHABLE as failure:
            if not self.contacted:
                raise self._hopeless(f"cannot be reached ({self._told(failure)}): is it running?") from None
            raise _Again(f"it cannot be reached any more ({self._told(failure)})") from None
        except httpx.TimeoutException:
            raise _Again(f"no answer within {seconds:.3g} s", timeout=True) from None
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            raise _Again(f"the connection broke ({self._told(failure)})") from None
        if 200 <= status < 300:
            return _answer(said)
        self._refusal(status, headers, said, content)
        return None

    async def _exchange(
        self, http: httpx.AsyncClient, path: str, content: dict[str, Any], stream: Stream | None
    ) -> tuple[int, httpx.Headers, object]:
        """Status, headers, and the JSON of the body; None where it is none. Events go to the stream as they come."""
        async with http.stream("POST", f"{self.address}/{path}", json=content) as response:
            good = 200 <= response.status_code < 300
            streams = good and response.headers.get("content-type", "").startswith("text/event-stream")
            events, payload, size = stream if streams else None, bytearray(), 0
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > LARGEST_RESPONSE:
                    raise Undelivered("error", f"a response of more than {LARGEST_RESPONSE >> 20} MiB")
                if events is None:
                    payload += chunk
                else:
                    _fed(events, chunk)
            said = self._read(bytes(payload)) if events is None else _ended(events)
            if events is None and stream is not None and good:
                stream.whole(said)
            return response.status_code, response.headers, said

    def _refusal(self, status: int, headers: httpx.Headers, said: object, content: Mapping[str, Any]) -> None:
        """Raise what a status other than 2xx means; return where the request only has to be put in other words."""
        complaint = wire.complaint(said)
        because = f": {complaint.text}" if complaint.text else ""
        if status == 429 and complaint.broke:
            raise self._hopeless(f"does not work for this account any more{because}")
        if status in WORTH_REPEATING or status >= 500:
            raise _Again(f"it answered {status}{because}", retry_after(headers.get("retry-after")))
        if complaint.filtered and status in (400, 403, 422, 451):
            self.contacted = True
            raise Undelivered("refused", f"it turned a prompt away{because}")
        if status in (401, 403, 407):  # not with the server's words: some repeat the key, whole or in part
            reason = f"does not accept {self._credentials()} ({status})"
            raise Undelivered("error", reason, hopeless=status == 401 or not self.contacted)
        if status == 404:
            reason = f"knows no model {self.model!r}, or the address is wrong: it mostly ends in /v1 (404{because})"
            raise Undelivered("error", reason, hopeless=not self.contacted)
        if status < 400:
            host = _host(self._hide(headers.get("location", "")))
            reason = f"sends us on to {host} ({status}): give that address if you trust it"
            raise Undelivered("error", reason, hopeless=not self.contacted)
        if self.dialect.learn(content, complaint):
            return
        raise Undelivered("error", f"it refuses the request ({status}{because})", hopeless=not self.contacted)

    def _credentials(self) -> str:
        if self.key is not None:
            return "the API key"
        return f"a request without an API key: name its file by --api-key-file, or set {VARIABLE} (sent by https only)"

    def _hopeless(self, reason: str) -> Undelivered:
        return Undelivered("error", reason, hopeless=True)

    def _told(self, failure: Exception) -> str:
        return self._hide(str(failure) or type(failure).__name__)

    def _read(self, payload: bytes) -> object:
        """A body's JSON, None where it is none. The key is taken out of all its strings before anybody sees them."""
        try:
            return _each_string(json.loads(payload), self._hide)
        except (ValueError, RecursionError):
            return None

    def _hide(self, text: str) -> str:
        return text if self.key is None else self.key.hide(text)


def _each_string(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_each_string(each, change) for each in value]
    if isinstance(value, dict):
        return {change(name): _each_string(each, change) for name, each in value.items()}
    return value


def _fed(stream: Stream, chunk: bytes) -> None:
    try:
        stream.feed(chunk)
    except wire.Malformed as failure:
        raise _Again(f"it sent {failure}") from None


def _ended(stream: Stream) -> object:
    try:
        return stream.response()
    except wire.Malformed as failure:
        raise _Again(f"it sent {failure}") from None


def _answer(response: object) -> dict[str, Any]:
    """The response, or a reason to ask again: some proxies report failures behind them with status 200."""
    try:
        wire.choices(response, 1)
    except wire.Malformed as failure:
        raise _Again(f"it sent {failure}") from None
    assert isinstance(response, dict)
    return response


def _host(location: str) -> str:
    try:
        return httpx.URL(location).host or "another path"
    except httpx.InvalidURL:
        return "nowhere"


def _total(response: Mapping[str, Any]) -> int | None:
    usage = response.get("usage")
    total = usage.get("total_tokens") if isinstance(usage, Mapping) else None
    return total if type(total) is int and 0 <= total < 2**53 else None
