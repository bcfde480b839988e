"""A killable subprocess that answers JSON lines: the parent's side (`Worker`) and the child's side (`serve`).

Only plain JSON crosses the pipe, so a child can send nothing that runs in the parent. Whatever the child
prints goes to stderr and cannot be mistaken for an answer. A call that takes too long kills the child's whole
process group.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

MAX_REPLY = 16 * 2**20  # bytes of one reply
_PACKAGE_HOME = str(Path(__file__).resolve().parents[2])  # the child imports the same whetstone as its parent
GRACE = 5.0  # seconds after its limit at which a child whose parent is gone ends itself


class WorkerTimeout(Exception):
    """The call took longer than its limit (`seconds`); the child was killed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it took longer than {seconds:g} s and was stopped")


class WorkerDied(Exception):
    """The child ended, or sent something that is not a reply. The message says how."""


class WorkerRaised(Exception):
    """The child's handler raised. `file` and `line` are where (the last line of the user's own file), if
    known.
    """

    def __init__(self, kind: str, message: str, file: str, line: int) -> None:
        super().__init__(f"{kind}: {message}" if message else kind)
        self.kind, self.file, self.line = kind, file, line


class Worker:
    """Runs `command` (a program that calls `serve`) and starts it again after it was killed or died.

    `memory` caps the bytes of private memory of the child. Safe to use from several threads: calls take
    turns.
    """

    def __init__(self, command: Sequence[str], memory: int | None = None) -> None:
        self.command = list(command)
        self.memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._count = 0
        self._finalizer: weakref.finalize[..., Any] | None = None

    def call(self, method: str, arguments: Mapping[str, Any], limit: float, start_limit: float = 60.0) -> Any:
        """The result of one call. Raises WorkerTimeout, WorkerDied or WorkerRaised.

        `limit`: seconds for the call itself. A child that has to be started first gets `start_limit` seconds
        for that.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
                self._exchange("start", {}, start_limit)
            return self._exchange(method, arguments, limit)

    def close(self) -> None:
        """Kill the child, if there is one. A later call starts a new one."""
        if self._finalizer is not None:
            self._finalizer()
        self._process = None

    def _start(self) -> None:
        self.close()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        searched = [_PACKAGE_HOME, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(searched)
        if self.memory is not None:
            environment["WHETSTONE_WORKER_MEMORY"] = str(self.memory)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, env=environment, start_new_session=True)
        self._finalizer = weakref.finalize(self, _kill, self._process)

    def _exchange(self, method: str, arguments: Mapping[str, Any], limit: float) -> Any:
        self._count += 1
        request = {"id": self._count, "method": method, "arguments": arguments, "limit": limit}
        try:
            line = self._transfer(json.dumps(request).encode() + b"\n", limit)
            reply = json.loads(line)
            if not isinstance(reply, dict) or reply.get("id") != self._count:
                raise ValueError
        except (ValueError, RecursionError) as error:
            self.close()
            raise WorkerDied("it wrote something that is not a reply") from error
        except BaseException:  # a timeout or an interrupt: the child's state is unknown
            self.close()
            raise
        if "error" in reply:
            error_ = reply["error"]
            raise WorkerRaised(error_["kind"], error_["message"], error_["file"], error_["line"])
        return reply["result"]

    def _transfer(self, request: bytes, limit: float) -> bytes:
        """Write the request and read one line, never blocking longer than `limit` seconds."""
        deadline = time.monotonic() + limit
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        source, sink = process.stdout.fileno(), process.stdin.fileno()
        os.set_blocking(source, False)
        os.set_blocking(sink, False)
        received = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            selector.register(sink, selectors.EVENT_WRITE)
            while not received.endswith(b"\n"):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise WorkerTimeout(limit)
                for key, _ in selector.select(left):
                    if key.fd == sink:
                        with contextlib.suppress(BrokenPipeError):  # its end shows on the other pipe
                            request = request[os.write(sink, request[:65536]) :]
                        if not request:
                            selector.unregister(sink)
                    elif chunk := os.read(source, 65536):
                        received += chunk
                    else:
                        raise WorkerDied(_ending(process))
                if len(received) > MAX_REPLY:
                    raise WorkerDied(f"its reply was longer than {MAX_REPLY} bytes")
        return bytes(received)


def _ending(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        return "it closed its output"
    if code < 0:
        return f"it was ended by signal {signal.Signals(-code).name}"
    return f"it ended itself with exit code {code}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()


Handlers = Mapping[str, Callable[..., Any]]


def serve(handlers: Handlers, user_file: str = "") -> None:
    """The child's loop: read a request from stdin, answer with `handlers[method](**arguments)`, until stdin
    closes.

    "start" is the first method called; it may be absent from `handlers`. Exceptions are sent as data, with
    the last line of `user_file` that they passed through. Results must be JSON.
    """
    with os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as replies:
        os.dup2(2, 1)  # what the handlers print goes to stderr
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        _limit_memory()
        for line in requests:
            request = json.loads(line)
            # Should the parent be gone, the kernel's timer ends even code that never returns to the
            # interpreter.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, request["limit"] + GRACE)
            reply = {"id": request["id"], **_answer(handlers, request, user_file)}
            signal.setitimer(signal.ITIMER_REAL, 0)
            replies.write(json.dumps(reply).encode() + b"\n")
            replies.flush()


def _limit_memory() -> None:
    if memory := os.environ.pop("WHETSTONE_WORKER_MEMORY", None):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = int(memory) if hard == resource.RLIM_INFINITY else min(int(memory), hard)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, wanted))


def _answer(handlers: Handlers, request: Mapping[str, Any], user_file: str) -> dict[str, Any]:
    try:
        handler = handlers.get(request["method"])
        if handler is None and request["method"] != "start":
            raise LookupError(f"no method {request['method']!r}")
        result = handler(**request["arguments"]) if handler else None
        json.dumps(result, allow_nan=False)
        return {"result": result}
    except (Exception, SystemExit) as error:
        return {"error": _describe(error, user_file)}


def _describe(error: BaseException, user_file: str) -> dict[str, Any]:
    line = 0
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == user_file:
            line = frame.lineno or line
    if isinstance(error, SyntaxError) and error.filename == user_file:
        line = error.lineno or line
    message = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())[:500]
    return {"kind": type(error).__name__, "message": message, "file": user_file, "line": line}


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this package with this interpreter."""
    return [sys.executable, "-P", "-m", module, *arguments]  # -P: the current folder shadows no library
