"""Writing files so that a reader, or a process that is killed, never meets half of one."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from whetstone.errors import WorkFailed

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


def cache_folder() -> Path:
    """$WHETSTONE_CACHE, else ~/.cache/whetstone: what can be made again. Not created here."""
    return Path(os.environ.get("WHETSTONE_CACHE") or Path.home() / ".cache" / "whetstone")


@contextmanager
def disk_full_is_work_failed(path: Path, saved: str) -> Iterator[None]:
    """Turn "no space left" inside the block into one clear line.

    path: what was being written. saved: what is still intact, as a clause ("all earlier rows are intact").
    Raises WorkFailed for ENOSPC and EDQUOT; every other OSError passes unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise WorkFailed(
            f"the disk is full: {path} could not be written; {saved}; free some space and go on"
        ) from error


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step: after a crash the file holds the old bytes or the new ones.

    The temporary file lies in the same directory (os.replace is atomic only inside one file system) and is
    synced before the rename, so that the rename never points to blocks that were not written.
    Raises WorkFailed when the disk is full (the earlier version is untouched), OSError otherwise.
    """
    path = Path(path)
    with disk_full_is_work_failed(path, "the earlier version, if there was one, is untouched"):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), new_file_mode())
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
    sync_folder(path.parent)


def atomic_write_text(path: Path, content: str) -> None:
    """`atomic_write_bytes` of the text in UTF-8."""
    atomic_write_bytes(path, content.encode("utf-8"))


def atomic_write_json(path: Path, content: Any) -> None:
    """`atomic_write_bytes` of the value as indented JSON, keys in their given order, one newline at the end.

    Raises ValueError for NaN and infinities: they are not JSON, and a report that holds one is wrong.
    """
    atomic_write_bytes(path, json_bytes(content))


def json_bytes(content: Any) -> bytes:
    """What `atomic_write_json` writes."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Build a folder in a temporary place beside `path` and put it there whole when the block ends well.

    Yields the temporary folder to write into. An existing folder at `path` is replaced. Two renames are
    needed for that (no portable call swaps two folders); a crash between them leaves the old one beside
    `path`, where `restore_folder` finds it. If the block raises, `path` is untouched.
    Raises WorkFailed when the disk is full.
    """
    path = Path(path)
    restore_folder(path)
    with disk_full_is_work_failed(path, "the earlier version, if there was one, is untouched"):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
        try:
            yield temporary
            _sync_tree(temporary)
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                os.rename(path, _old(path))
            os.rename(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            restore_folder(path)
            raise
    sync_folder(path.parent)
    shutil.rmtree(_old(path), ignore_errors=True)


def restore_folder(path: Path) -> None:
    """Finish what a crash inside `atomic_folder(path)` left: put the old folder back, or remove it.

    Also removes the half-built folders beside it. Call it only while holding the run's lock.
    """
    path = Path(path)
    if _old(path).exists():
        if path.exists():
            shutil.rmtree(_old(path), ignore_errors=True)
        else:
            os.rename(_old(path), path)
    for left_over in path.parent.glob(f".{path.name}.*.part"):
        if left_over.is_dir():
            shutil.rmtree(left_over, ignore_errors=True)


def sync_folder(path: Path) -> None:
    """Make renames inside the folder survive a power cut. Does nothing where folders cannot be opened."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _sync_tree(folder: Path) -> None:
    for entry in sorted(folder.rglob("*")):
        if entry.is_file():
            descriptor = os.open(entry, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _umask() -> int:
    # The only portable way to read the umask is to set it; runs write from one thread.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def new_file_mode() -> int:
    """mkstemp makes files that only the owner reads; give ours what a plain open() would give."""
    return 0o666 & ~_umask()
