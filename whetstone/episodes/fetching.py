"""Bytes from the web, only where the user named an address: with limits of size and time, and never from a network
that the user did not name."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from whetstone.engine.remote.endpoint import is_loopback
from whetstone.errors import UsageError, WorkFailed
from whetstone.files import disk_full_is_work_failed

LARGEST = 64 << 20  # bytes
SECONDS = 60.0  # for one address, redirects included
MOST_REDIRECTS = 5


@dataclass(frozen=True)
class Fetched:
    """What came: the bytes, the address they came from in the end, and the declared media type ("" where none)."""

    content: bytes
    address: str
    media_type: str


class Answered(WorkFailed):
    """A server answered, with something else than what was asked for. `wait`: seconds that it asks to be left alone."""

    def __init__(self, address: str, status: int, wait: str = "") -> None:
        super().__init__(f"{address} answered {status}")
        self.status = status
        self.wait = float(wait) if wait.isascii() and wait.isdecimal() else 0.0


def is_address(text: str) -> bool:
    """Whether a text is an address that can be fetched, and not a file's name."""
    return text.lower().startswith(("http://", "https://"))


def fetch(
    address: str,
    *,
    may_be_private: bool | str = True,
    largest: int = LARGEST,
    seconds: float = SECONDS,
    headers: Mapping[str, str] | None = None,
) -> Fetched:
    """The content of an address.

    may_be_private: whether it may lie on this machine or in its own network; so may an address that the user named, and
    one that a document from there names, but a feed from elsewhere must not make this machine ask its neighbours. A
    host's name: that one may, and no other. An address outside never sends on to one inside, and a name that leads
    inside when it is connected to, though it did not when it was looked up, is not asked either (a proxy of the user's
    looks names up itself).

    headers: sent to the server that is named, never to one that it sends on to.

    Raises UsageError for what is no address, Answered for another status than 200, WorkFailed where nothing useful
    comes in time.
    """
    content = bytearray()
    address, media_type = asyncio.run(
        _followed(address, may_be_private, largest, seconds, content.extend, headers or {})
    )
    return Fetched(bytes(content), address, media_type)


def download(address: str, target: Path, *, may_be_private: bool, largest: int, seconds: float) -> None:
    """What `fetch` fetches, into a file, which is there whole or not at all. Raises as `fetch` does."""
    with disk_full_is_work_failed(target, "nothing is left of it"):
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(".*.part"):  # of a process that was killed
            if left.stat().st_mtime < time.time() - 2 * seconds:
                left.unlink(missing_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as file:
                asyncio.run(_followed(address, may_be_private, largest, seconds, file.write))
            os.replace(partial, target)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(partial)
            raise


async def _followed(
    address: str,
    may_be_private: bool | str,
    largest: int,
    seconds: float,
    write: Callable[[bytes], object],
    headers: Mapping[str, str] = {},
) -> tuple[str, str]:
    """Where what was written came from in the end, and its media type."""
    first = _origin(_checked(address))
    try:
        async with asyncio.timeout(seconds):  # also against a server that sends a byte now and then
            for _ in range(MOST_REDIRECTS + 1):
                url = _checked(address)
                private = is_private(address)
                allowed = url.host == may_be_private if isinstance(may_be_private, str) else may_be_private
                if private and not allowed:
                    raise WorkFailed(
                        f"{_shown(address)} lies in a private network and somebody else named it: not fetched"
                    )
                found = await _asked(url, largest, write, headers if _origin(url) == first else {}, private)
                if isinstance(found, tuple):
                    return found
                address, may_be_private = found, private and may_be_private
    except TimeoutError:
        raise WorkFailed(f"{_shown(address)} took longer than {seconds:.3g} s") from None
    raise WorkFailed(f"{_shown(address)} only sends on, {MOST_REDIRECTS} times in a row")


async def _asked(
    url: httpx.URL, largest: int, write: Callable[[bytes], object], headers: Mapping[str, str], private: bool
) -> tuple[str, str] | str:
    """The address and the media type of what came and was written, or the address to ask instead."""
    shown = _shown(str(url))
    told = {"user-agent": "whetstone", "accept": "*/*", "accept-encoding": "gzip, deflate", **headers}
    extensions = {} if private or _by_proxy(url) else {"trace": _stay_outside}
    try:
        async with (
            httpx.AsyncClient(timeout=20.0, follow_redirects=False, trust_env=not is_loopback(str(url))) as http,
            http.stream("GET", url, headers=told, extensions=extensions) as response,
        ):
            if response.is_redirect:
                return str(url.join(response.headers.get("location", "")))
            if response.status_code != 200:
                raise Answered(shown, response.status_code, response.headers.get("retry-after", ""))
            if "," in response.headers.get("content-encoding", ""):
                # each layer may unpack to a thousand times its size, before anything can be counted
                raise WorkFailed(f"{shown} is packed more than once: not read")
            length = 0
            async for chunk in response.aiter_bytes():  # counted after decompression
                length += len(chunk)
                if length > largest:
                    raise WorkFailed(f"{shown} is larger than {largest >> 20} MiB: not read")
                write(chunk)
            media_type = response.headers.get("content-type", "").split(";")[0].strip().lower()
            return str(url), media_type
    except (httpx.InvalidURL, UnicodeError):
        raise WorkFailed(f"{shown} sends on to something that is no address") from None
    except httpx.TimeoutException:
        raise WorkFailed(f"{shown} did not answer in time") from None
    except httpx.HTTPError as error:
        raise WorkFailed(f"{shown} cannot be fetched: {str(error) or type(error).__name__}") from None


async def _stay_outside(event: str, info: Mapping[str, Any]) -> None:
    """Looks at where a connection leads before anything is sent over it: raises WorkFailed for a private network."""
    if event == "connection.connect_tcp.complete":
        host = str(info["return_value"].get_extra_info("server_addr")[0])
        if not ipaddress.ip_address(host.split("%")[0]).is_global:
            raise WorkFailed("a name that somebody else gave leads to a private network: not fetched")


def _by_proxy(url: httpx.URL) -> bool:
    """Whether the user has a proxy for an address, which may well be in a private network itself."""
    proxies = urllib.request.getproxies()
    return bool({url.scheme, "all"} & proxies.keys()) and not urllib.request.proxy_bypass(url.host)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _checked(address: str) -> httpx.URL:
    try:
        url = httpx.URL(address)
        host = url.host
    except (httpx.InvalidURL, UnicodeError) as error:  # the second for a name that IDNA does not know
        raise UsageError(f"not an address: {error}") from None
    if url.scheme not in ("http", "https") or not host:
        raise UsageError(f"only http:// and https:// are fetched, not {_shown(address)}")
    return url


def _shown(address: str) -> str:
    """An address for a message: without a password or a query, which may be a secret, and not endless."""
    try:
        url = httpx.URL(address)
        return str(url.copy_with(username=None, password=None, query=None, fragment=None))[:200]
    except (httpx.InvalidURL, UnicodeError, TypeError):
        return repr(address[:100])


def is_private(address: str) -> bool:
    """Whether an address is on this machine or in a network of its own. A name that cannot be looked up is not."""
    host = _checked(address).host
    if is_loopback(address):
        return True
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return not all(_is_global(ipaddress.ip_address(str(each).split("%")[0])) for each in found)


_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # the last 32 bits are an IPv4 address (RFC 6052)


def _is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it lies outside, and what it leads to: IPv6 has several ways to write an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global
    return address.is_global
