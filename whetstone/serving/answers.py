"""How answers leave: as one JSON object or as server-sent events; the work ends when the client goes away.

A `Dialogue` is one kind of answer (chat or completion). It turns items of the feed into chunks, and all of them
into one object.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from whetstone.serving.bridge import Ended, Failed, Feed, Item
from whetstone.serving.errors import ApiError, shutting_down
from whetstone.serving.generation import Work
from whetstone.serving.state import State

T = TypeVar("T")
EVENT_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
# What a proxy would answer for a client that has gone; nobody reads it, the counters show it.
CLIENT_GONE = 499
WAITING = b": still at work\n\n"  # a comment, which clients pass over; proxies see that the connection lives


class Dialogue(Protocol):
    """Builds the answer to one request."""

    @property
    def generation(self) -> Work: ...

    def opening(self) -> list[Mapping[str, Any]]:
        """Chunks before the first token."""
        ...

    def chunks(self, items: Sequence[Item]) -> list[Mapping[str, Any]]:
        """Chunks for what has come."""
        ...

    def closing(self) -> list[Mapping[str, Any]]:
        """Chunks behind the last token."""
        ...

    def whole(self) -> Mapping[str, Any]:
        """The answer as one object, after all `chunks`."""
        ...


def to_json(value: Mapping[str, Any]) -> bytes:
    """Compact JSON; characters that UTF-8 cannot carry become question marks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class JsonResponse(Response):
    """A JSON object with a status."""

    media_type = "application/json"

    def __init__(self, value: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(to_json(value), status, dict(headers or {}))


def error_response(failure: ApiError) -> JsonResponse:
    """An error as OpenAI's API shapes it."""
    return JsonResponse(failure.content, failure.status, failure.headers)


def broken(items: Sequence[Item]) -> ApiError | None:
    """What went wrong, if one of the sequences did not come to its end."""
    for item in items:
        if isinstance(item, Failed):
            return item.error
        if isinstance(item, Ended) and item.finish == "cancelled":
            return shutting_down()
        if isinstance(item, Ended) and item.finish not in ("stop", "length"):
            return ApiError(500, "the answer could not be computed", "generation_failed")
    return None


async def answer(state: State, request: Request, dialogue: Dialogue, stream: bool) -> Response:
    """Start the work and give what it becomes. Raises ApiError before the first byte has left."""
    generation = dialogue.generation
    feed = generation.start(state)
    if stream:
        return EventStream(state, events(dialogue, feed, state.comment_seconds), generation)
    try:
        return await while_connected(state, request, _whole(dialogue, feed))
    finally:
        generation.cancel()


async def _whole(dialogue: Dialogue, feed: Feed) -> Response:
    async for items in feed.batches():
        if failure := broken(items):
            raise failure
        dialogue.chunks(items)
    return JsonResponse(dialogue.whole())


async def events(dialogue: Dialogue, feed: Feed, idle: float) -> AsyncIterator[bytes]:
    """The lines of a stream, a comment whenever there was nothing to say for `idle` seconds. What goes wrong half-way
    becomes an event of its own, and no [DONE] follows. An answer that is chosen among others opens when it is."""
    opened = not dialogue.generation.chooses
    if opened:
        yield b"".join(map(event, dialogue.opening()))
    async for items in feed.batches(idle):
        if not items:
            yield WAITING
            continue
        if failure := broken(items):
            yield event(failure.content)
            return
        if chunks := [*([] if opened else dialogue.opening()), *dialogue.chunks(items)]:
            yield b"".join(map(event, chunks))
        opened = True
    yield b"".join([*map(event, dialogue.closing()), b"data: [DONE]\n\n"])


def event(value: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + to_json(value) + b"\n\n"


async def gone(receive: Receive) -> None:
    """Returns when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_connected(state: State, request: Request, work: Awaitable[T]) -> T:
    """The result of `work`; a client that goes away ends it at once."""
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(gone(request.receive))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        state.disconnects += 1
        raise ApiError(CLIENT_GONE, "the client has gone", "client_gone")
    finally:
        await _drop(doing, leaving)


class EventStream(Response):
    """Server-sent events, as long as somebody listens."""

    media_type = "text/event-stream"

    def __init__(self, state: State, lines: AsyncIterator[bytes], generation: Work) -> None:
        super().__init__(headers=EVENT_HEADERS)
        del self.headers["content-length"]
        self._state, self._lines, self._generation = state, lines, generation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                self._state.disconnects += 1
            elif not isinstance(sending.exception(), OSError | None):  # an OSError: the connection broke
                sending.result()
        finally:
            await _drop(sending, leaving)
            self._generation.cancel()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for line in self._lines:
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drop(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task
