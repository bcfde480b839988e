"""What stands before every route: who may ask, how much they may send, and the counting of what they got.

A page on the web can make a browser send requests to a loopback address, and by rebinding a name's address even read
the answers. So on loopback the Host header must name this machine, and a foreign Origin is turned away unless it
was allowed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whetstone.serving.answers import error_response
from whetstone.serving.binding import host_name, is_loopback
from whetstone.serving.errors import ApiError, shutting_down
from whetstone.serving.state import State

OPEN_PATHS = ("/", "/health")  # need no key, as what lies under /page/ does not
COUNTED = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/models",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/health",
    "/metrics",
)
DRAINED = 4  # so many times the limit is read of a body that is too large
METHODS = "GET, POST, OPTIONS"


class Keys:
    """The keys that open the door; compared in a time that tells nothing."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def fit(self, key: str) -> bool:
        """Whether it is one of them."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        return any([hmac.compare_digest(digest, own) for own in self._digests])  # a list: all are compared


class Guard:
    """ASGI middleware around the whole application.

    Args:
        hosts: names that the Host header may have; None when the server is open to a network and names are not known.
        origins: web pages that may ask, as "https://example.org".
        rooms: paths of applications that check origins themselves.
    """

    def __init__(
        self,
        app: ASGIApp,
        state: State,
        keys: Keys,
        hosts: Iterable[str] | None,
        origins: Iterable[str],
        rooms: tuple[str, ...] = (),
    ) -> None:
        self._app, self._state, self._keys = app, state, keys
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)
        self._rooms = tuple(f"{room}/" for room in rooms)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(scope["path"], message["status"])
                if origin in self._origins:
                    out = MutableHeaders(scope=message)
                    out["access-control-allow-origin"] = origin
                    out["vary"] = "Origin"
            await send(message)

        try:
            self._check_host(headers)
            if self._check_origin(scope, headers):
                await counting({"type": "http.response.start", "status": 204, "headers": self._preflight(headers)})
                await counting({"type": "http.response.body", "body": b""})
                return
            self._check_key(scope, headers)
            if self._state.closing and scope["method"] == "POST":
                raise shutting_down()
            body = await self._body(headers, receive)
        except ApiError as failure:
            await error_response(failure)(scope, receive, counting)
            return
        if body is not None:
            await self._app(scope, _replaying(body, receive), counting)

    def _count(self, path: str, status: int) -> None:
        known = path if path in COUNTED else "/v1/models" if path.startswith("/v1/models/") else "other"
        self._state.responses[known, status] += 1

    def _check_host(self, headers: Headers) -> None:
        if self._hosts is None:
            return
        name = host_name(headers.get("host", ""))
        if name in self._hosts or is_loopback(name):
            return
        raise ApiError(403, "the Host header does not name this server: see --allow-host", "host_not_allowed")

    def _check_origin(self, scope: Scope, headers: Headers) -> bool:
        """Whether it is an allowed page's preflight. Raises ApiError for a page of another site."""
        origin = headers.get("origin")
        if origin is None or scope["path"].startswith(self._rooms):
            return False
        allowed = origin in self._origins
        if not allowed and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            raise ApiError(
                403, "requests from other web pages are not allowed: see --allow-origin", "origin_not_allowed"
            )
        return bool(allowed and scope["method"] == "OPTIONS")

    @staticmethod
    def _preflight(headers: Headers) -> list[tuple[bytes, bytes]]:
        asked = headers.get("access-control-request-headers", "authorization, content-type")
        values = {"methods": METHODS, "headers": asked}
        return [(f"access-control-allow-{name}".encode(), value.encode("latin-1")) for name, value in values.items()]

    def _check_key(self, scope: Scope, headers: Headers) -> None:
        if not self._keys or scope["path"] in OPEN_PATHS or scope["path"].startswith("/page/"):
            return
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._keys.fit(key.strip()):
            raise ApiError(
                401,
                "a valid key is needed: Authorization: Bearer KEY",
                "invalid_api_key",
                None,
                {"www-authenticate": "Bearer"},
            )

    async def _body(self, headers: Headers, receive: Receive) -> bytes | None:
        """The whole body, None when the client has gone. Raises ApiError for one that is too large or too slow."""
        limit = self._state.limits.body_bytes
        declared = headers.get("content-length", "")
        too_large = declared.isdigit() and int(declared) > limit
        parts: list[bytes] = []
        length = 0
        try:
            async with asyncio.timeout(self._state.limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    length += len(message.get("body", b""))
                    too_large = too_large or length > limit
                    if too_large:  # the rest is taken and dropped: a client that still writes would not read the error
                        parts.clear()
                    else:
                        parts.append(message.get("body", b""))
                    if too_large and (length > DRAINED * limit or not message.get("more_body")):
                        what = f"the body has more than {limit} bytes"
                        raise ApiError(413, what, "body_too_large", None, {"connection": "close"})
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise ApiError(408, "the request took too long to come", "timeout", None, {"connection": "close"}) from None


def _replaying(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that has been read, then what comes after it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return left.pop() if left else await receive()

    return replay
