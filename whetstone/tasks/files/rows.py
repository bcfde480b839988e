"""The rows of a .jsonl, .json or .parquet file, one after the other, with their numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from whetstone.errors import UsageError

SUFFIXES = (".jsonl", ".json", ".parquet")
BATCH_ROWS = 1024
Row: TypeAlias = Mapping[str, Any]


def rows(path: Path) -> Iterator[tuple[int, Row]]:
    """(number from 1, row) for each row. A .jsonl or .parquet file is read piece by piece, a .json file at once.

    Raises UsageError, with the row's number, for what is not a row of named columns.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    read = {".jsonl": _json_lines, ".json": _json_list, ".parquet": _parquet}[path.suffix.lower()]
    for number, row in read(path):
        if not isinstance(row, dict):
            raise UsageError(f"{path}: row {number} is not an object with named columns: {str(row)[:60]!r}")
        yield number, row


def fingerprint(path: Path) -> str:
    """64 hex digits: sha256 of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():  # an empty line is no row, but it counts: an editor shows the same number
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise UsageError(f"{path}: row {number} is not JSON: {error}") from error


def _json_list(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if isinstance(content, dict):  # {"version": ..., "data": [...]}
        lists = [value for value in content.values() if isinstance(value, list)]
        content = lists[0] if len(lists) == 1 else content
    if not isinstance(content, list):
        raise UsageError(f"{path} must be a list of rows, or an object that holds one list of rows")
    yield from enumerate(content, start=1)


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise UsageError(f"{path}: parquet needs the library pyarrow: pip install 'whetstone-lab[audit]'") from error
    try:
        number = 0
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (ArrowException, OSError) as error:
        raise UsageError(f"{path} cannot be read as parquet: {error}") from error
