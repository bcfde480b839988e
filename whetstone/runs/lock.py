"""One process at a time in a directory: flock on DIR/.lock, which ends with the process however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whetstone.errors import UsageError


def lock(path: Path) -> int:
    """Take the lock of a directory that exists; returns the descriptor that holds it.

    Raises UsageError when another process holds it, or the directory cannot be written into.
    """
    try:
        # Python opens without inheritance, so the children of a run (sandbox workers) never hold its lock.
        descriptor = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UsageError(f"cannot write into {path} ({error.strerror}): choose another directory") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
        os.close(descriptor)
        who = f"process {holder}" if holder else "another process"
        raise UsageError(f"{path} is in use by {who}: wait for it, or choose another directory") from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def unlock(descriptor: int) -> None:
    """Give the lock back."""
    # The file stays: removing it would let two processes lock two different files of the same name.
    os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the directory's lock within the block. Raises UsageError as `lock` does."""
    descriptor = lock(path)
    try:
        yield
    finally:
        unlock(descriptor)
