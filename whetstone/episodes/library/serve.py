"""The library in the browser, served on this machine until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

from whetstone.errors import UsageError

if TYPE_CHECKING:
    from whetstone.episodes.embedding import Embedder
    from whetstone.episodes.model.writer import Writer

PREFIX = "/episodes"
KEEP_ALIVE = 5  # seconds


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
        import uvicorn
        from starlette.applications import Starlette
        from starlette.responses import RedirectResponse
        from starlette.routing import Mount, Route
    except ImportError:
        raise UsageError('the library needs a server: pip install "whetstone-lab[serve]"') from None
    from whetstone.episodes.library.app import library_app
    from whetstone.episodes.model.answering import Composer
    from whetstone.serving.guard import is_loopback
    from whetstone.serving.server import bind

    if not is_loopback(host):
        raise UsageError(f"others can reach {host}, and the library has no keys: serve it on 127.0.0.1 (the default)")
    home = Route("/", lambda request: RedirectResponse(f"{PREFIX}/"))
    compose = None if writer is None else Composer(writer)
    app = Starlette(routes=[home, Mount(PREFIX, library_app(library, compose=compose, embedder=embedder))])
    listening = bind(host, port)
    address, number = listening.getsockname()[:2]
    url = f"http://[{address}]:{number}{PREFIX}/" if ":" in address else f"http://{address}:{number}{PREFIX}/"

    class Server(uvicorn.Server):
        async def startup(self, sockets: object = None) -> None:
            await super().startup(sockets)  # type: ignore[arg-type]
            ready(url)

        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield  # ours are enough: a second one must not end the process half-way

    config = uvicorn.Config(
        app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        timeout_keep_alive=KEEP_ALIVE, timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = Server(config)

    async def run() -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, lambda: setattr(server, "should_exit", True))
        await server.serve(sockets=[listening])

    try:
        asyncio.run(run())
    finally:
        listening.close()
