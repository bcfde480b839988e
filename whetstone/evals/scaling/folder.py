"""The folder of a scaling measurement: whose it is, who may write, and the files in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError
from whetstone.files import atomic_write_bytes, atomic_write_json
from whetstone.runs.lock import locked

PLAN, SAMPLES, RESULT, PAGE = "plan.json", "samples.sqlite", "scale.json", "scale.html"
# in the order in which a difference is worth telling
_WORDS = {
    "models": "models",
    "tasks": "tasks and levels",
    "seed": "seed",
    "style": "prompt style",
    "temperatures": "temperature",
    "engines": "engine or device",
}


@contextmanager
def opened(path: Path, identity: Mapping[str, Any]) -> Iterator[Path]:
    """Hold the folder, made where there is none, for a measurement of this identity: the keys of `_WORDS`.

    What may change from call to call (problems, budgets, methods) is not in it: those go on with the same samples.
    Raises UsageError for somebody else's folder, one in use, or one of another identity, naming what differs.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise UsageError(f"cannot use the folder {path} ({error.strerror}): choose another --out") from error
    if PLAN not in names and not all(name.startswith(".") for name in names):
        raise UsageError(f"{path} is not empty and no measurement of `whet scale`: choose another --out")
    with locked(path):
        if (path / PLAN).is_file():
            _require_same(path, identity)
        else:
            atomic_write_json(path / PLAN, {"kind": "scaling", **identity})
        yield path


def _require_same(path: Path, identity: Mapping[str, Any]) -> None:
    try:
        known = json.loads((path / PLAN).read_text(encoding="utf-8"))
        differ = [name for name in _WORDS if known.get(name) != identity[name]]
    except (OSError, ValueError, AttributeError):
        raise UsageError(f"{path / PLAN} cannot be read: choose another --out, or remove the folder") from None
    if differ:
        first = differ[0]
        was, asked = (_told(first, value) for value in (known.get(first), identity[first]))
        more = "".join(f", another {_WORDS[name]} too" for name in differ[1:])
        raise UsageError(
            f"{path} belongs to a measurement of other {_WORDS[first]} ({was}; asked: {asked}{more}): "
            "choose another --out"
        )


def _told(name: str, value: Any) -> str:
    if value is None:
        return "not recorded"
    if name == "models":
        return ", ".join(f"{each['name']} {each['identity'][:12]}" for each in value)
    if name == "tasks":
        return ", ".join(f"{each['name']} {each['version']} level {each['level']}" for each in value)
    if name == "engines":
        return " and ".join(dict.fromkeys(value))
    return json.dumps(value)


def write_result(path: Path, result: Mapping[str, Any]) -> Path:
    """scale.json: indented for a reader, but a row of numbers is one line."""
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
    rows = re.compile(r"\[\s+(-?\d[\d.eE+-]*(?:,\s+-?\d[\d.eE+-]*)*)\s+\]")
    text = rows.sub(lambda found: "[" + re.sub(r",\s+", ", ", found[1]) + "]", text)
    atomic_write_bytes(path / RESULT, (text + "\n").encode("utf-8"))
    return path / RESULT
