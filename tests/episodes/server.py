"""A web server on the loopback that gives what a test tells it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Page:
    """What one path gives. `endless`: the content again and again; `slow`: seconds before each repetition."""

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    endless: bool = False
    slow: float = 0.0


Pages = dict[str, Page]
Posted = Callable[[str, dict[str, object]], Page]


@contextmanager
def serving(
    pages: Pages, posted: Posted | None = None, seen: Callable[[str], object] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """The server's address and the paths that were asked, in order. `seen` gets each request's authorization."""
    asked: list[str] = []
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if seen is not None:
                seen(self.headers.get("authorization", ""))
            self._give(pages.get(self.path, Page(status=404)))

        def do_POST(self) -> None:
            asked.append(self.path)
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            assert posted is not None
            self._give(posted(self.path, body))

        def _give(self, page: Page) -> None:
            self.send_response(page.status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            if not page.endless:
                self.send_header("content-length", str(len(page.content)))
            self.end_headers()
            try:
                self.wfile.write(page.content)
                while page.endless and not stop.is_set():
                    time.sleep(page.slow)
                    self.wfile.write(page.content)
            except OSError:
                pass

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()
