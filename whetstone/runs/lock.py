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
    return _take(path / ".lock", path)


def _take(file: Path, path: Path) -> int:
    """`lock` by a file that is made for it. path: what is held, for the message."""
    try:
        # Python opens without inheritance, so the children of a run (sandbox workers) never hold its lock.
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UsageError(f"cannot write into {file.parent} ({error.strerror}): choose another directory") from error
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


@contextmanager
def locked_beside(path: Path) -> Iterator[None]:
    """Hold a folder that need not exist, and that may be replaced within the block: by a file beside it, which goes
    away again. Makes the folder around it. Raises UsageError as `lock` does."""
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_name(f".{path.name}.lock")
    while True:
        descriptor = _take(file, path)
        if _is_still(file, descriptor):
            break
        unlock(descriptor)  # whoever held it took the file away between our opening and our locking
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # still held: nobody can have it
        unlock(descriptor)


def _is_still(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(file), os.fstat(descriptor))
    except FileNotFoundError:
        return False
