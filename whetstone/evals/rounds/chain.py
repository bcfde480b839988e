"""An append-only file of JSON lines in which each line carries the hash of the one before it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError
from whetstone.evals.rounds.hashing import canonical, digest
from whetstone.files import disk_full_is_work_failed

Record = dict[str, Any]
START = "0" * 64


class BrokenChain(UsageError):
    """The file is not what was written."""


def linked(record: Mapping[str, Any], previous: str) -> Record:
    """The record with `prev` and `hash`."""
    body = {**record, "prev": previous}
    return {**body, "hash": digest(canonical(body))}


def read_chain(path: Path) -> list[Record]:
    """All records; none for a file that is not there.

    Raises BrokenChain, naming the line, unless every byte is as it was written: each line is the canonical form of what
    it says, its hash is right, and it names the hash of the line before.
    """
    return _read(path.read_bytes(), path.name) if path.is_file() else []


def _read(data: bytes, name: str) -> list[Record]:
    records: list[Record] = []
    previous = START
    if data and not data.endswith(b"\n"):
        raise BrokenChain(f"{name}: its last line has no end")
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            record = json.loads(line)
            intact = isinstance(record, dict) and canonical(record) == line
        except (ValueError, RecursionError) as error:
            raise BrokenChain(f"{name}, line {number}: not JSON ({error})") from error
        if not intact or "hash" not in record:
            raise BrokenChain(f"{name}, line {number}: not the form in which it was written")
        body = {key: value for key, value in record.items() if key != "hash"}
        if record["hash"] != digest(canonical(body)):
            raise BrokenChain(f"{name}, line {number}: its hash is not that of its contents")
        if record.get("prev") != previous:
            raise BrokenChain(f"{name}, line {number}: it does not follow the line before it")
        previous = record["hash"]
        records.append(record)
    return records


def head(records: list[Record]) -> str:
    """The hash of the last record: it stands for the whole file."""
    return str(records[-1]["hash"]) if records else START


def append(path: Path, records: list[Record], new: Iterable[Mapping[str, Any]]) -> list[Record]:
    """`records`, which the file holds, and the new ones, which it holds now, safely on disk."""
    grown = list(records)
    for record in new:
        grown.append(linked(record, head(grown)))
    lines = b"".join(canonical(record) + b"\n" for record in grown[len(records) :])
    path.parent.mkdir(parents=True, exist_ok=True)
    with disk_full_is_work_failed(path, "what it held before is intact"), path.open("ab") as file:
        before = file.tell()
        try:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, before)
            raise
    return grown


def mend(path: Path, cut: bool = True) -> list[Record]:
    """The records of a file whose writer may have been killed: half a line at the end does not count, and is cut off
    (`cut`: only for who may write). Raises BrokenChain."""
    if not path.is_file():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    records = _read(whole, path.name)
    if cut and len(whole) < len(data):
        os.truncate(path, len(whole))
    return records
