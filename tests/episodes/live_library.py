"""A library that answers on a port of this machine, as `whet listen serve` would run it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from whetstone.episodes.library.app import app_of
from whetstone.episodes.library.shelf import Shelf


@contextmanager
def library(shelf: Shelf) -> Iterator[str]:
    """Where it is: http://127.0.0.1:PORT/episodes."""
    app = Starlette(routes=[Mount("/episodes", app_of(shelf))])
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}/episodes"
        finally:
            server.should_exit = True
            thread.join(10)
