"""One thread that owns engines, for whoever asks from other threads: a server, a chat, many agents.

Everything that touches an engine runs in that thread, between two steps; so engines need no locks, and two models
never fight for the same cores. With several engines, each busy one takes a step in turn.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from whetstone.engine.branch import Job, Listener
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Completion, Finish, Request, SamplingParams, TopLogprobs
from whetstone.errors import WorkFailed

T = TypeVar("T")
_log = logging.getLogger(__name__)
CLOSED = "the server is shutting down"
_Command = tuple[Callable[[], None], Callable[[], None]]  # what to do, and what to do when it is too late for it


class Busy(WorkFailed):
    """So many requests wait already that another one would only wait in vain: try again later."""


@dataclass(eq=False)
class Ticket:
    """A request on its way; `cancel` may be called from any thread, at any time, any number of times."""

    service: Service
    engine: Engine
    job: Job | None = None
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True
        self.service.post(self._cancel_now)

    def _cancel_now(self) -> None:
        if self.job is not None:
            self.engine.cancel(self.job)


class Service:
    """Runs engines until it is closed. `max_waiting` requests may wait for a place; the next one is refused."""

    def __init__(self, max_waiting: int = 256) -> None:
        self.max_waiting = max_waiting
        self.engines: list[Engine] = []
        self._commands: queue.SimpleQueue[_Command | None] = queue.SimpleQueue()
        self._accepting, self._ended = True, False
        self._drained = threading.Event()
        self._open = 0  # requests submitted and not over
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="whetstone-engine", daemon=True)
        self._thread.start()

    @property
    def open(self) -> int:
        """Requests that are not over yet."""
        return self._open

    @property
    def alive(self) -> bool:
        """Whether the engine's thread runs."""
        return self._thread.is_alive()

    def attach(self, engine: Engine) -> None:
        """Step this engine too, from now on."""
        self.call(lambda: self.engines.append(engine)).result()

    def detach(self, engine: Engine) -> None:
        """Cancel what runs on this engine and forget it."""

        def forget() -> None:
            engine.cancel_all("cancelled")
            self.engines.remove(engine)

        self.call(forget).result()

    def submit(self, engine: Engine, request: Request, params: SamplingParams, listener: Listener) -> Ticket:
        """Queue a request from any thread. Every sequence ends with a call of `listener.finished`.

        Raises Busy when the queue is full or the service closes; ValueError for a request that could never run.
        """
        engine.check(request, params)
        with self._lock:
            if not self._accepting or self._open >= self.max_waiting:
                raise Busy("the server is busy: try again later" if self._accepting else CLOSED)
            self._open += 1
        ticket = Ticket(self, engine)
        guarded = _Guarded(listener, len(request.seeds), self._one_over)

        def refuse(finish: Finish) -> None:
            for member in range(len(request.seeds)):
                guarded.finished(member, Completion((), (), finish, engine.weight_version))

        def begin() -> None:
            try:
                ticket.job = engine.add(request, params, guarded)
            except Exception:
                _log.exception("a request could not be queued")
                refuse("error")
                return
            if ticket.cancelled:
                engine.cancel(ticket.job)

        self.post(begin, lambda: refuse("cancelled"))
        return ticket

    def call(self, work: Callable[[], T]) -> Future[T]:
        """Do `work` in the engine's thread, between two steps. The future fails with Busy when there is no such thread
        any more; cancelled before its turn, it is never begun."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        def refuse() -> None:
            if future.set_running_or_notify_cancel():
                future.set_exception(Busy(CLOSED))

        self.post(run, refuse)
        return future

    def post(self, command: Callable[[], None], refuse: Callable[[], None] = lambda: None) -> None:
        """Do it in the engine's thread, soon; nobody waits for it. `refuse` is called instead when that has ended."""
        with self._lock:
            if not self._ended:
                self._commands.put((command, refuse))
                return
        refuse()

    def close(self, patience: float = 30.0) -> bool:
        """Refuse what comes, finish what runs for at most `patience` seconds, then cancel the rest.

        Returns whether everything was finished.
        """
        with self._lock:
            self._accepting = False
            if self._open == 0:
                self._drained.set()
        finished = self._drained.wait(patience)
        self._commands.put(None)
        self._thread.join()
        return finished

    def _one_over(self) -> None:
        with self._lock:
            self._open -= 1
            if not self._accepting and self._open == 0:
                self._drained.set()

    def _run(self) -> None:
        try:
            while self._obey():
                stepped = [self._step(engine) for engine in list(self.engines) if not engine.idle]
                if stepped and not any(stepped):
                    time.sleep(0.001)  # all wait for room that is held for a moment
        finally:
            self._end()

    @staticmethod
    def _step(engine: Engine) -> bool:
        try:
            return engine.step()
        except BaseException as error:  # whatever it was, those who wait are told and the others served on
            _log.error("a step failed: %s", error, exc_info=not isinstance(error, WorkFailed))
            engine.cancel_all("error")
            return True

    def _end(self) -> None:
        """The thread ends: nobody waits in vain."""
        with self._lock:
            self._accepting, self._ended = False, True
        for engine in self.engines:
            engine.cancel_all("cancelled")
        while True:
            try:
                left = self._commands.get(block=False)
            except queue.Empty:
                return
            if left is not None:
                left[1]()

    def _obey(self) -> bool:
        """Do what was posted, waiting for it while there is nothing else to do; False when it is time to end."""
        wait = all(engine.idle for engine in self.engines)
        while True:
            try:
                command = self._commands.get(block=wait)
            except queue.Empty:
                return True
            if command is None:
                return False
            try:
                command[0]()
            except BaseException:
                _log.exception("a command failed")
            wait = False


class _Guarded:
    """A listener whose failures stay its own: it is told no more, and its sequences end."""

    def __init__(self, listener: Listener, members: int, over: Callable[[], None]) -> None:
        self._listener, self._left, self._over = listener, members, over
        self._failed = False

    def token(self, member: int, token: int, logprob: float, top: TopLogprobs | None) -> bool:
        if self._failed:
            return True
        try:
            return self._listener.token(member, token, logprob, top)
        except Exception:
            _log.exception("a listener failed")
            self._failed = True
            return True

    def finished(self, member: int, completion: Completion) -> None:
        try:
            self._listener.finished(member, completion)
        except Exception:
            _log.exception("a listener failed")
            self._failed = True
        finally:
            self._left -= 1
            if self._left == 0:
                self._over()
