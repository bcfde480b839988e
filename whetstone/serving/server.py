"""Starting and stopping: a socket, the engines' thread, uvicorn, and signals.

Stopping: no new connection and no new request is taken; what runs may finish for a while; what does not is told so in
its stream. A second signal cuts the while short.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp

from whetstone.engine.service import Service
from whetstone.errors import UsageError, WorkFailed
from whetstone.serving.app import build
from whetstone.serving.binding import Uvicorn, address_of, bind, is_loopback
from whetstone.serving.guard import Keys
from whetstone.serving.heads import with_heads
from whetstone.serving.limits import Limits
from whetstone.serving.models import MakeEngine, Models, plain_engine
from whetstone.serving.offers import Offers
from whetstone.serving.routes import open_routes
from whetstone.serving.state import State
from whetstone.serving.strategies import check_offers

PATIENCE = 30.0  # seconds that running requests get to finish
KEEP_ALIVE = 30  # seconds that an idle connection stays open


@dataclass(frozen=True)
class Settings:
    """Where a server listens and whom it lets in.

    `port` 0 takes a free one. `keys` are needed for any host but this machine itself. `allowed_hosts`: further names
    that clients may use on loopback (a proxy's, say); `allowed_origins`: web pages that may ask.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = field(default=(), repr=False)
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    patience: float = PATIENCE
    limits: Limits = field(default_factory=Limits)
    offers: Offers = field(default_factory=Offers)


class Server:
    """Serves models at `url` until it is stopped. `models` as `whet serve` takes them; `adapters`: name -> folder;
    `rooms`: as `build` takes them.

    The socket is bound first, so that a port in use is known before any model is loaded. Raises UsageError: a host
    that others can reach without a key, a port in use, an unknown model.
    """

    def __init__(
        self,
        models: Iterable[str],
        adapters: Mapping[str, str] | None = None,
        settings: Settings | None = None,
        device: str = "cpu",
        make_engine: MakeEngine = plain_engine,
        rooms: Mapping[str, ASGIApp] | None = None,
    ) -> None:
        self.settings = settings or Settings()
        local = is_loopback(self.settings.host)
        _require_safe(self.settings, local, bool(rooms))
        self._socket = bind(self.settings.host, self.settings.port)
        self.url = address_of(self._socket)
        self._service = Service(self.settings.limits.queue)
        try:
            self._models = Models(self._service, make_engine)
            self.state = self._opened(models, adapters or {}, device)
        except BaseException:
            self._socket.close()
            self._service.close(0)
            raise
        hosts = self.settings.allowed_hosts if local else None
        app = build(self.state, Keys(self.settings.keys), hosts, self.settings.allowed_origins, rooms)
        self._uvicorn = Uvicorn(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=int(self.settings.patience) + 5,
            )
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Future[bool] | None = None

    def _opened(self, models: Iterable[str], adapters: Mapping[str, str], device: str) -> State:
        """Everything loaded that is served, and checked."""
        for spec in models:
            self._models.add(spec, device)
        if not self._models.all:
            raise UsageError("name a model to serve")
        for name, folder in adapters.items():
            self._models.add_adapter(name, folder)
        offers = self.settings.offers
        routes = open_routes(offers.routes, self._models, device, offers.endpoints)
        offers = with_heads(offers, self._models.all)
        check_offers(offers, self._models)
        return State(self._service, self._models, self.settings.limits, offers, routes)

    @property
    def models(self) -> list[str]:
        """The names that clients may use."""
        return [*(served.name for served in self._models.all), *self.settings.offers.named, *self.state.routes]

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop` is called or a signal comes (in the main thread); calls `ready` when it listens."""
        asyncio.run(self._run(ready))

    def stop(self) -> None:
        """Stop gracefully, from any thread; the second time at once."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop)

    async def _run(self, ready: Callable[[], None]) -> None:
        loop = self._loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._stop)
        self._uvicorn.ready = ready
        try:
            await self._uvicorn.serve(sockets=[self._socket])
        finally:
            self._stop()
            assert self._closing is not None
            await self._closing
            self._socket.close()

    def _stop(self) -> None:
        """In the event loop."""
        self._uvicorn.should_exit = True
        if not self.state.closing:
            self.state.closing = True
            assert self._loop is not None
            self._closing = self._loop.run_in_executor(None, self._service.close, self.settings.patience)
        elif self._closing is not None and not self._closing.done():
            self._service.post(self._cut)

    def _cut(self) -> None:
        for engine in self._service.engines:
            engine.cancel_all("cancelled")


def _require_safe(settings: Settings, local: bool, rooms: bool) -> None:
    if rooms and (settings.keys or not local):
        raise UsageError("what is served beside the models has no keys: serve it on 127.0.0.1, without keys")
    if not local and not settings.keys:
        raise UsageError(f"others can reach {settings.host}: give --api-key-file, or serve on 127.0.0.1 (the default)")


class Background:
    """A server in a thread of its own, for notebooks and tests: `with Background(server): …`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="whetstone-server", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise WorkFailed(f"the server did not start: {self._failure}") from self._failure

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.server.url

    def stop(self) -> None:
        """Stop gracefully and wait for the end."""
        self.server.stop()
        self._thread.join()

    def __enter__(self) -> Background:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self.server.run(self._ready.set)
        except BaseException as failure:
            self._failure = failure
        finally:
            self._ready.set()
