"""The killable subprocess: it answers, it dies without harm, and it never outlives its limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from whetstone.sandbox.worker import Worker, WorkerDied, WorkerRaised, WorkerTimeout

CHILD = """
import os, sys, time
from whetstone.sandbox.worker import serve

def echo(value): print("noise on stdout"); return value
def sleep(seconds): time.sleep(seconds)
def spin():
    while True: pass
def stuck():
    import re; re.match("(a|a)*b", "a" * 60)  # holds the interpreter lock for ages
def leave(code): os._exit(code)
def stop(): sys.exit("goodbye")
def fail(): raise ValueError("two\\nlines")
def odd(): return {1, 2}
def nan(): return float("nan")
def big(): return "x" * (17 * 2**20)
def allocate(size): return len(bytearray(size))
def pid(): return os.getpid()
def family():
    import subprocess
    return [os.getpid(), subprocess.Popen(["sleep", "60"]).pid]
def read(): return sys.stdin.read()
handlers = (echo, sleep, spin, stuck, leave, stop, fail, odd, nan, big, allocate, pid, family, read)
serve({f.__name__: f for f in handlers}, __file__)
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("worker") / "child.py"
    path.write_text(CHILD)
    return path


@pytest.fixture(scope="module")
def worker(script: Path) -> Iterator[Worker]:
    worker = Worker([sys.executable, str(script)], memory=2**30)
    yield worker
    worker.close()


def with_package() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def gone(pid: int) -> bool:
    """Whether the process has ended (a zombie has)."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("value", [None, 1.5, "ü\ud800\n\0", [{"a": [1, True]}], "x" * 1_000_000])
def test_json_goes_there_and_back_while_the_child_prints(worker: Worker, value: object) -> None:
    assert worker.call("echo", {"value": value}, 10) == value


def test_stdin_belongs_to_the_protocol(worker: Worker) -> None:
    assert worker.call("read", {}, 5) == ""


@pytest.mark.parametrize("method", ["spin", "stuck", "sleep"])
def test_a_hang_is_killed_and_the_next_call_works(worker: Worker, method: str) -> None:
    pid = worker.call("pid", {}, 5)
    started = time.monotonic()
    with pytest.raises(WorkerTimeout, match=r"longer than 0\.3 s"):
        worker.call(method, {"seconds": 60} if method == "sleep" else {}, 0.3)
    assert time.monotonic() - started < 30 and gone(pid)
    assert worker.call("pid", {}, 5) != pid


def test_grandchildren_are_killed_too(worker: Worker) -> None:
    pids = worker.call("family", {}, 5)
    with pytest.raises(WorkerTimeout):
        worker.call("spin", {}, 0.2)
    assert all(gone(pid) for pid in pids)


def test_exceptions_come_back_as_data_with_their_line(worker: Worker, script: Path) -> None:
    with pytest.raises(WorkerRaised, match="ValueError: two lines") as caught:
        worker.call("fail", {}, 5)
    assert "raise ValueError" in CHILD.splitlines()[caught.value.line - 1]
    with pytest.raises(WorkerRaised, match="SystemExit: goodbye"):
        worker.call("stop", {}, 5)
    with pytest.raises(WorkerRaised, match="TypeError"):
        worker.call("odd", {}, 5)
    with pytest.raises(WorkerRaised, match="ValueError"):
        worker.call("nan", {}, 5)
    with pytest.raises(WorkerRaised, match="no method"):
        worker.call("unheard_of", {}, 5)
    with pytest.raises(WorkerRaised, match="TypeError"):
        worker.call("echo", {"wrong": 1}, 5)


def test_a_death_says_how(worker: Worker) -> None:
    with pytest.raises(WorkerDied, match="exit code 3"):
        worker.call("leave", {"code": 3}, 5)
    pid = worker.call("pid", {}, 5)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert worker.call("pid", {}, 5) != pid  # a child that died between calls is simply started again


def test_caps_on_memory_and_reply(worker: Worker) -> None:
    with pytest.raises(WorkerRaised, match="MemoryError"):
        worker.call("allocate", {"size": 2 * 2**30}, 5)
    with pytest.raises(WorkerDied, match="longer than"):
        worker.call("big", {}, 10)


def test_a_program_that_is_not_a_worker() -> None:
    with pytest.raises(WorkerDied, match="exit code 7"):
        Worker([sys.executable, "-c", "raise SystemExit(7)"]).call("echo", {}, 5)
    with pytest.raises(WorkerDied, match="not a reply"):
        Worker(["/bin/echo", "hello"]).call("echo", {}, 5)


def test_a_stuck_child_ends_though_its_parent_was_killed(script: Path, tmp_path: Path) -> None:
    hasty = tmp_path / "hasty.py"
    hasty.write_text(
        script.read_text().replace("\nserve(", "\nimport whetstone.sandbox.worker as w; w.GRACE = 0.5\nserve(")
    )
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import sys\nfrom whetstone.sandbox.worker import Worker\n"
        f"worker = Worker([sys.executable, {str(hasty)!r}])\n"
        "print(worker.call('pid', {}, 5), flush=True)\nworker.call('stuck', {}, 0.5)\n"
    )
    process = subprocess.Popen([sys.executable, str(parent)], stdout=subprocess.PIPE, env=with_package())
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    time.sleep(0.2)
    process.kill()
    process.communicate()
    assert gone(pid)


def test_a_child_ends_with_its_worker(script: Path) -> None:
    worker = Worker([sys.executable, str(script)])
    pid = worker.call("pid", {}, 5)
    del worker
    assert gone(pid)
