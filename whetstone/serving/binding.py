"""Where a server listens: which names are this machine's, a socket that is bound before anything is loaded, and uvicorn
without signals of its own. Nothing here knows of models."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Callable, Generator

import uvicorn

from whetstone.errors import UsageError


class Uvicorn(uvicorn.Server):
    """Leaves signals to us (a second one must not end the process half-way) and tells when it listens."""

    ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen yet."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except OSError as failure:
        raise UsageError(
            f"cannot listen on {host} port {port} ({failure.strerror or failure}): choose another --port"
        ) from failure
    return bound


def address_of(bound: socket.socket) -> str:
    """Where a bound socket is asked: http://HOST:PORT."""
    address, port = bound.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def host_name(host: str) -> str:
    """The name in a Host header, without its port and an IPv6 address's brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()


def is_loopback(host: str) -> bool:
    """Whether a host is this machine and nobody else can reach it."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
