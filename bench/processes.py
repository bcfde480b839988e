"""Servers for a benchmark: started in a process group of their own, waited for, and ended whatever happens."""

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from whetstone.errors import WorkFailed

GRACE = 10.0  # seconds to end by itself


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(
    name: str,
    command: Sequence[str],
    url: str,
    *,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
    patience: float = 300,
) -> Iterator[int]:
    """Run a server until the block ends, and everything it started; gives its process id.

    url: answers 200 when the server is ready, for which it has `patience` seconds. folder: where it runs. Raises
    WorkFailed, with the server's last words, when it ends or is not ready in time.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            until = time.monotonic() + patience
            while not _answers(url):
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    tail = " | ".join(log.read().decode(errors="replace").strip().splitlines()[-3:])
                    state = "is not ready" if process.poll() is None else f"ended with exit code {process.returncode}"
                    raise WorkFailed(f"{name} {state}: {tail}")
                time.sleep(0.2)
            yield process.pid
        finally:
            _end(process)


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by way of a proxy
    try:
        with opener.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    for what in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, what)  # the group that this process leads, whose number is its own
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
