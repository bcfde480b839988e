"""Stages that are done once: what a stage gave is kept with a hash of all that it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from whetstone.episodes.store.database import Database


def digest(inputs: Mapping[str, Any]) -> str:
    """The hash of a stage's inputs (plain JSON: transcript fingerprint, model, prompt hash, versions)."""
    text = json.dumps(inputs, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def recorded(store: Database, episode: int, stage: str, inputs: Mapping[str, Any]) -> Any | None:
    """What the stage gave for these very inputs, None where it was not done or done for others."""
    row = store.row(
        "SELECT output FROM stages WHERE episode = ? AND stage = ? AND input = ?", (episode, stage, digest(inputs))
    )
    return None if row is None else json.loads(row[0])


def record(store: Database, episode: int, stage: str, inputs: Mapping[str, Any], output: Any) -> None:
    """Keep what the stage gave (plain JSON, not None); what it gave for other inputs is replaced."""
    if output is None:
        raise ValueError("a stage's output is not None")
    text = json.dumps(output, ensure_ascii=False, allow_nan=False)
    row = (episode, stage, digest(inputs), text, datetime.now(UTC).isoformat(timespec="seconds"))
    with store.writing() as base:
        base.execute("INSERT OR REPLACE INTO stages VALUES (?,?,?,?,?)", row)


def done(store: Database, episode: int, stage: str, inputs: Mapping[str, Any], work: Callable[[], Any]) -> Any:
    """The stage's output: kept from before where its inputs are the same, else `work()`, which is then kept.

    A stage of many parts is resumed in the middle by calling each part a stage of its own ("map/3").
    """
    found = recorded(store, episode, stage, inputs)
    if found is None:
        found = work()
        record(store, episode, stage, inputs, found)
    return found


def forget(store: Database, episode: int, stage: str) -> None:
    """Forget a stage and its parts ("map" and "map/0", "map/1", …), so that it is done again."""
    with store.writing() as base:
        base.execute(
            "DELETE FROM stages WHERE episode = ? AND (stage = ? OR substr(stage, 1, ?) = ?)",
            (episode, stage, len(stage) + 1, f"{stage}/"),
        )


def finished(store: Database, episode: int) -> dict[str, str]:
    """The stages that are done, and when."""
    rows = store.rows("SELECT stage, finished FROM stages WHERE episode = ? ORDER BY stage", (episode,))
    return {row["stage"]: row["finished"] for row in rows}
