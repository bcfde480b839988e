"""`whet` in a process of its own that begins at once: forked from a server that has imported torch already.

A real process with real signals and a real exit code; only the two seconds of imports are shared. It knows one more
built-in task, `digits`, which a random model gets right now and then: a task in a user's own file costs one more
process and half a second.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import whetstone as wh

_context = multiprocessing.get_context("forkserver")
_WARM = ("whetstone.cli", "whetstone.evals.evaluate", "torch._dynamo", "matplotlib.backends.backend_svg")
_context.set_forkserver_preload(["whetstone.sharpen.pipeline", *_WARM])
_numbers = count()


class Digits(wh.Task):
    """As in `tests.tiny.DIGIT_TASK`."""

    version = "1"
    levels = (1, 2)
    max_new_tokens = 6

    def sample(self, seed: bytes, level: int) -> wh.Problem:
        n = random.Random(seed).randrange(10 ** (2 + level))
        return wh.Problem(f"{n}?", {"n": n})

    def check(self, problem: wh.Problem, text: str) -> wh.Verdict:
        return wh.Verdict.RIGHT if any(digit in text for digit in "02468") else wh.Verdict.WRONG


@dataclass(frozen=True)
class Finished:
    """How the command ended; `code` is negative after a signal."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on stderr that says what is wrong; fails where there are several, or a stack trace."""
        lines = [line for line in self.err.splitlines() if line.startswith("whet: ")]
        assert len(lines) == 1 and self.err.rstrip().endswith(lines[0]), self.err
        assert "Traceback" not in self.err and "unexpected" not in lines[0], self.err
        return lines[0].removeprefix("whet: ")


class Running:
    """A `whet` that was started in the folder `cwd`; what it prints lands in files there."""

    def __init__(self, arguments: tuple[str, ...], cwd: Path, env: dict[str, str], terminal: str | None) -> None:
        number = next(_numbers)
        self._out, self._err = cwd / f".out{number}", cwd / f".err{number}"
        files = str(self._out), terminal or str(self._err)
        self.process = _context.Process(target=_run, args=(arguments, str(cwd), env, *files), daemon=True)
        self.process.start()

    def until(self, happened: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait for something that the command does; fails when it ends before, or takes too long."""
        deadline = time.monotonic() + seconds
        while not happened():
            assert self.process.is_alive(), f"it ended before: {self.finish()}"
            assert time.monotonic() < deadline, "it took too long"
            time.sleep(0.002)

    @property
    def messages(self) -> str:
        """What it has said on stderr so far."""
        return _text(self._err)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def finish(self, seconds: float = 120.0) -> Finished:
        """Wait for its end."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"still running after {seconds} s: {_text(self._err)}")
        return Finished(self.process.exitcode, _text(self._out), _text(self._err))


def start(*arguments: object, cwd: Path, env: dict[str, str] | None = None, terminal: str | None = None) -> Running:
    """Start `whet ARGUMENTS` in `cwd`. `terminal`: the device that its messages go to, instead of a file."""
    # the server that it is forked from has the environment of an earlier test
    history = {"WHETSTONE_HISTORY": os.environ["WHETSTONE_HISTORY"]}
    return Running(tuple(map(str, arguments)), cwd, history | (env or {}), terminal)


def whet(*arguments: object, cwd: Path, env: dict[str, str] | None = None, seconds: float = 120.0) -> Finished:
    """Run `whet ARGUMENTS` in `cwd` to its end."""
    return start(*arguments, cwd=cwd, env=env).finish(seconds)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _run(arguments: tuple[str, ...], cwd: str, env: dict[str, str], out: str, err: str) -> None:
    import torch

    from whetstone.cli import main
    from whetstone.tasks.registry import BUILTIN

    BUILTIN[Digits.name] = Digits
    os.chdir(cwd)
    os.environ.update(env)
    for path, descriptor in ((out, 1), (err, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY, 0o644)
        os.dup2(opened, descriptor)
    torch.set_num_threads(1)  # two threads would divide sums differently under load
    sys.argv = ["whet", *arguments]
    try:
        main()
    finally:
        sys.stdout.flush()
