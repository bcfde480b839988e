"""The library in the browser, served on this machine until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from whetstone.errors import UsageError

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp

    from whetstone.episodes.embedding import Embedder
    from whetstone.episodes.model.writer import Writer

PREFIX = "/episodes"
KEEP_ALIVE = 5  # seconds
PATIENCE = 5  # seconds that requests get to finish


def serve(
    library: Path,
    host: str,
    port: int,
    ready: Callable[[str], None] = lambda url: None,
    writer: Writer | None = None,
    embedder: Embedder | None = None,
) -> None:
    """Serve the library under /episodes; `ready` is told the address when it listens. Ends by SIGINT or SIGTERM.
    `writer`: the model that answers questions; `embedder`: whose vectors search by meaning compares.

    Raises UsageError: no library, an address others can reach (the library has no keys), a port that is taken.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise UsageError('the library needs a server: pip install "whetstone-lab[serve]"') from None
    from whetstone.episodes.library.app import library_app
    from whetstone.episodes.model.answering import Composer
    from whetstone.serving.binding import address_of, bind, is_loopback

    if not is_loopback(host):
        raise UsageError(f"others can reach {host}, and the library has no keys: serve it on 127.0.0.1 (the default)")
    compose = None if writer is None else Composer(writer)
    app = library_app(library, compose=compose, embedder=embedder)
    with bind(host, port) as listening:
        url = f"{address_of(listening)}{PREFIX}/"
        asyncio.run(_served(_with_home(app), listening, lambda: ready(url)))


def _with_home(app: ASGIApp) -> ASGIApp:
    """The library under its prefix; "/" leads there."""
    from starlette.applications import Starlette
    from starlette.responses import RedirectResponse
    from starlette.routing import Mount, Route

    return Starlette(routes=[Route("/", lambda request: RedirectResponse(f"{PREFIX}/")), Mount(PREFIX, app)])


async def _served(app: ASGIApp, listening: socket.socket, ready: Callable[[], None]) -> None:
    import uvicorn

    from whetstone.serving.binding import Uvicorn

    server = Uvicorn(
        uvicorn.Config(
            app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
            timeout_keep_alive=KEEP_ALIVE, timeout_graceful_shutdown=PATIENCE,
        )
    )  # fmt: skip
    server.ready = ready
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    await server.serve(sockets=[listening])
