"""JSON lines that a killed process can leave and a resumed one continue byte for byte (DESIGN law 6)."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from whetstone.errors import WorkFailed
from whetstone.files import disk_full_is_work_failed


class JsonLines:
    """An append-only file of one JSON object a line.

    The bytes of a row depend only on its values: keys are sorted ("step" first, for the reader), floats are
    written as Python's shortest round-trip repr. `size()` after a row goes into the checkpoint; on resume
    `truncate(size)` drops what was written after that checkpoint and the steps are played again.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row; it is on the disk when the call returns. See `extend`."""
        self.extend([row])

    def extend(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows with a single sync. A half-written line left by a killed process is cut off first.

        NaN and infinities become null (they are not JSON). Scalars of numpy and torch become numbers.
        Raises WorkFailed when the disk is full (the file then holds what it held before), TypeError for
        values that are not JSON.
        """
        content = b"".join(encode_row(row) for row in rows)
        if not content:
            return
        with disk_full_is_work_failed(self.path, "all earlier rows are intact"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab") as file:
                before = _cut_half_line(self.path)
                try:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    os.truncate(self.path, before)
                    raise

    def size(self) -> int:
        """Bytes in the file; 0 if it does not exist."""
        return self.path.stat().st_size if self.path.exists() else 0

    def truncate(self, size: int) -> None:
        """Cut the file back to `size` bytes. Raises WorkFailed if it is shorter: rows were lost."""
        present = self.size()
        if present < size:
            raise WorkFailed(
                f"{self.path} holds {present} bytes, the checkpoint expects at least {size}: "
                "rows were removed after they were written; restore the file or start a new run"
            )
        if present > size:
            os.truncate(self.path, size)

    def rows(self) -> list[dict[str, Any]]:
        """All complete rows. See `read`."""
        return read(self.path)


def read(path: Path) -> list[dict[str, Any]]:
    """All rows of a JSON-lines file; [] if it does not exist.

    A last line without its newline is what a killed process leaves, and is ignored. Raises WorkFailed for a
    damaged line anywhere else, naming it.
    """
    path = Path(path)
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise WorkFailed(f"{path}, line {number} is not JSON ({error}); the file was damaged") from error
        if not isinstance(row, dict):
            raise WorkFailed(f"{path}, line {number} is not a JSON object; the file was damaged")
        rows.append(row)
    return rows


def encode_row(row: Mapping[str, Any]) -> bytes:
    """One row as it stands in the file, newline included."""
    plain = {str(key): _plain(value) for key, value in row.items()}
    ordered = {key: plain[key] for key in sorted(plain, key=lambda key: (key != "step", key))}
    return (json.dumps(ordered, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")


def _plain(value: Any) -> Any:
    """The value in plain JSON types, keys sorted at every depth."""
    if hasattr(value, "item") and not isinstance(value, Mapping) and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_plain(element) for element in value]
    return value


def _cut_half_line(path: Path) -> int:
    """Cut the file after its last newline; return its size then."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        end, block = size, 65536
        while end > 0:
            start = max(0, end - block)
            file.seek(start)
            position = file.read(end - start).rfind(b"\n")
            if position >= 0:
                end = start + position + 1
                break
            end = start
    if end < size:
        os.truncate(path, end)
    return end
