"""One door to the formats of other harnesses."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError
from whetstone.evals.exports.inspect_log import write_inspect
from whetstone.evals.exports.lm_eval import write_lm_eval
from whetstone.files import atomic_write_text

FORMATS: Mapping[str, Callable[..., list[Path]]] = {"lm-eval": write_lm_eval, "inspect": write_inspect}


def export(
    result: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    format: str,
    path: Path,
    now: datetime.datetime | None = None,
) -> list[Path]:
    """Write a result of `evaluate` and its rows into the folder `path`; returns the files written.

    `format`: "lm-eval" (results_*.json and samples_*.jsonl) or "inspect" (one .json log). `now` enters names and date
    fields; the clock where it is not given. Raises UsageError for another format, and when there are no rows.
    """
    require_format(format)
    if not rows:
        raise UsageError("there are no rows to export: evaluate with rows=True")
    return FORMATS[format](result, rows, Path(path), now or datetime.datetime.now(datetime.UTC))


def parsed_exports(wanted: Sequence[str]) -> list[tuple[str, Path]]:
    """(format, folder) of each "FORMAT=DIR". Raises UsageError for what is not of that form."""
    pairs = []
    for each in wanted:
        format, equals, folder = each.partition("=")
        if not (equals and folder):
            raise UsageError(f"--export takes FORMAT=DIR with FORMAT one of {', '.join(FORMATS)}, not {each!r}")
        require_format(format)
        pairs.append((format, Path(folder)))
    return pairs


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Write the rows of an evaluation as JSON lines; returns the path."""
    atomic_write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def require_format(format: str) -> None:
    """Raises UsageError for a format that is not known."""
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}; choose one of {', '.join(FORMATS)}")
