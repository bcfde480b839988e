"""A run is a directory: who may write into it, what lies in it, and how far it has come."""

import shutil
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from whetstone.errors import UsageError
from whetstone.files import restore_folder
from whetstone.runs.lock import lock, unlock


class RunState(StrEnum):
    """How far a directory is: nothing in it, begun, all files of a finished run, or somebody else's files."""

    ABSENT = "absent"
    STARTED = "started"
    FINISHED = "finished"
    FOREIGN = "foreign"


class RunDirectory:
    """The files of one run, held by one process at a time.

    `create` and `open` take a lock (flock on DIR/.lock) that lasts until `close` or the end of the process,
    however it ends; a second process gets a UsageError instead of two writers in one file. The writer of a
    run puts `config.toml` first and `report.html` last: these decide `state`.
    """

    def __init__(self, path: Path, lock: int | None) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.metrics = path / "metrics.jsonl"
        self.timing = path / "timing.jsonl"
        self.samples = path / "samples.jsonl"
        self.checkpoint = path / "checkpoint"
        self.report_json = path / "report.json"
        self.report_html = path / "report.html"
        self.provenance = path / "provenance.json"
        self._lock = lock

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make the directory (parents too) and lock it.

        Raises UsageError if it is a file, holds anything already, cannot be made, or is in use.
        """
        path = Path(path)
        match run_state(path):
            case RunState.FOREIGN:
                raise UsageError(f"{path} is not empty and not a run of ours: choose another --out")
            case RunState.FINISHED:
                raise UsageError(f"{path} holds a finished run: open {path / 'report.html'}, or choose another --out")
            case RunState.STARTED:
                unlock(lock(path))  # says so if the run is going on right now
                raise UsageError(f"{path} holds an unfinished run: `whet resume {path}`, or choose another --out")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the directory {path} ({error.strerror}): choose another --out") from error
        held = lock(path)
        if run_state(path) is not RunState.ABSENT:  # another process was quicker between the look and the lock
            unlock(held)
            raise UsageError(f"{path} has just been filled by another process: choose another --out")
        return cls(path, held)

    @classmethod
    def open(cls, path: Path, *, writing: bool = True) -> Self:
        """Open an existing run, to go on with it (`writing`, locked) or to read it (not locked).

        Raises UsageError if there is no run in the directory or, when writing, if it is in use.
        """
        path = Path(path)
        match run_state(path):
            case RunState.ABSENT:
                raise UsageError(f"there is no run in {path}: start one with `whet sharpen --out {path}`")
            case RunState.FOREIGN:
                raise UsageError(f"{path} is not a run directory (it has no config.toml)")
        if not writing:
            return cls(path, None)
        run = cls(path, lock(path))
        restore_folder(run.checkpoint)
        return run

    @property
    def state(self) -> RunState:
        """`run_state` of this directory."""
        return run_state(self.path)

    def close(self) -> None:
        """Give the lock back. May be called twice."""
        if self._lock is not None:
            unlock(self._lock)
            self._lock = None

    def discard(self) -> None:
        """Remove the directory again if nothing was written into it; gives the lock back."""
        self.close()
        if run_state(self.path) is RunState.ABSENT:
            shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def run_state(path: Path) -> RunState:
    """What lies at `path`, without locking it.

    A directory that holds only a lock file and unfinished temporary files counts as ABSENT: its process died
    before it wrote anything. Raises UsageError if the path is a file or may not be read.
    """
    path = Path(path)
    try:
        names = {entry.name for entry in path.iterdir()}
    except FileNotFoundError:
        return RunState.ABSENT
    except NotADirectoryError as error:
        raise UsageError(f"{path} is a file, not a directory: choose another --out") from error
    except PermissionError as error:
        raise UsageError(f"{path} may not be read by this user: choose another --out") from error
    if {"config.toml", "report.json", "report.html"} <= names:
        return RunState.FINISHED
    if "config.toml" in names:
        return RunState.STARTED
    if all(name == ".lock" or (name.startswith(".") and name.endswith(".part")) for name in names):
        return RunState.ABSENT
    return RunState.FOREIGN
