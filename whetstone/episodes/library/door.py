"""Who may ask the library for what. It runs on the user's own machine, where any web page can try to reach it.

As in the server that it is mounted on: the Host must name this machine (against rebound names), and a page of another
site may neither send a form nor read an answer. Of other origins only the project's own browser extension may ask, and
it only for JSON.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whetstone.serving.binding import host_name, is_loopback

EXTENSION = "chrome-extension://akajpfbdcidhocmcodebkpicdmcmmbkj"  # follows from the key in extension/manifest.json
API = "/api/"
BODY_BYTES = 8 << 20  # a transcript of a day of talk is 2 MB
BODY_SECONDS = 30.0


class Refused(Exception):
    """A request that gets no answer but a reason. `status` is HTTP's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Door:
    """ASGI middleware around the library.

    Args:
        hosts: names that the Host header may have besides this machine's own; None where any may (the server around the
            library checks).
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] | None = ()) -> None:
        self._app = app
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope, Headers(scope=scope))
            body = await _body(Headers(scope=scope), receive) if scope["method"] == "POST" else b""
        except Refused as refused:
            await _say(send, refused)
            return
        if body is None:
            return
        left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return left.pop() if left else await receive()

        await self._app(scope, replay, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raises Refused."""
        name = host_name(headers.get("host", ""))
        if self._hosts is not None and not (name in self._hosts or is_loopback(name)):
            raise Refused(403, "the Host header does not name this server")
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] not in ("GET", "HEAD", "POST"):
            raise Refused(405, "this server answers GET and POST")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "")
        if origin == EXTENSION and path.startswith(API):
            return
        if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            raise Refused(403, "requests from other web pages are not allowed")
        if site in ("cross-site", "same-site") and not (
            scope["method"] != "POST" and headers.get("sec-fetch-mode") == "navigate"
        ):
            raise Refused(403, "requests from other web pages are not allowed")


async def _body(headers: Headers, receive: Receive) -> bytes | None:
    """The whole body, None when the client has gone. Raises Refused for one that is too large or too slow."""
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > BODY_BYTES:
        raise Refused(413, f"the body has more than {BODY_BYTES} bytes")
    parts: list[bytes] = []
    length = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                parts.append(message.get("body", b""))
                length += len(parts[-1])
                if length > BODY_BYTES:
                    raise Refused(413, f"the body has more than {BODY_BYTES} bytes")
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise Refused(408, "the request took too long to come") from None


async def _say(send: Send, refused: Refused) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{refused}\n".encode()})
