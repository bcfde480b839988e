"""The history of this machine's measuring: every look at a task, every round, every problem that was used up.

Who measures twenty variants and shows the best one flatters it; so each look is counted, and a report says how many
there were. The history is SQLite, one file per user; it is honest bookkeeping, not proof: another machine has another.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whetstone.errors import UsageError

if TYPE_CHECKING:
    from whetstone.evals.rounds.manifest import Manifest

_TABLES = """
CREATE TABLE IF NOT EXISTS looks (
    time TEXT NOT NULL, weights TEXT NOT NULL, model TEXT NOT NULL, task TEXT NOT NULL, version TEXT NOT NULL,
    level INTEGER NOT NULL, n INTEGER NOT NULL, key TEXT NOT NULL, mean REAL NOT NULL, low REAL NOT NULL,
    high REAL NOT NULL);
CREATE INDEX IF NOT EXISTS looks_by_weights ON looks (weights, task);
CREATE TABLE IF NOT EXISTS rounds (
    id TEXT PRIMARY KEY, title TEXT NOT NULL, created TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
    head TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS retired (id TEXT NOT NULL, round TEXT NOT NULL, PRIMARY KEY (id, round));
"""
WAIT = 10.0  # seconds that a writer waits for another one


def history_file() -> Path:
    """$WHETSTONE_HISTORY, else whetstone/history.sqlite under $XDG_DATA_HOME (~/.local/share)."""
    if named := os.environ.get("WHETSTONE_HISTORY"):
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "whetstone" / "history.sqlite"


@dataclass(frozen=True)
class Look:
    """One measurement outside a round. `weights`: the hash of the model; `key`: the commitment of the problems' key."""

    weights: str
    model: str
    task: str
    version: str
    level: int
    n: int
    key: str
    mean: float
    low: float
    high: float


class History:
    """The file, opened anew for each question, so that processes share it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls) -> History:
        """The user's own."""
        return cls(history_file())

    def add_look(self, look: Look, again: bool = True) -> int:
        """Count it; returns how many there are now at this task with these weights, this one included. `again`: also
        where the very same look is there already (by whoever was interrupted before noting that it is counted)."""
        there = "weights = ? AND model = ? AND task = ? AND version = ? AND level = ? AND n = ? AND key = ?"
        same = (look.weights, look.model, look.task, look.version, look.level, look.n, look.key)
        with self._writing() as base:
            if again or base.execute(f"SELECT 1 FROM looks WHERE {there}", same).fetchone() is None:
                base.execute("INSERT INTO looks VALUES (?,?,?,?,?,?,?,?,?,?,?)", (_now(), *vars(look).values()))
        return self.looks(look.weights, [look.task])

    def looks(self, weights: str, tasks: Sequence[str]) -> int:
        """How often these weights were measured at any of these tasks."""
        marks = ",".join("?" * len(tasks))
        found = self._ask(f"SELECT COUNT(*) FROM looks WHERE weights = ? AND task IN ({marks})", (weights, *tasks))
        return int(found[0][0]) if found else 0

    def looks_at(self, task: str) -> int:
        """How often any model was measured at this task."""
        found = self._ask("SELECT COUNT(*) FROM looks WHERE task = ?", (task,))
        return int(found[0][0]) if found else 0

    def looks_under(self, key: str, task: str, level: int) -> int:
        """How often any model was measured at the problems that a committed key makes of this task and level."""
        question = "SELECT COUNT(*) FROM looks WHERE key = ? AND task = ? AND level = ?"
        found = self._ask(question, (key, task, level))
        return int(found[0][0]) if found else 0

    def begun(self, manifest: Manifest) -> None:
        """A round exists: from now on it is finished, void, or open for all to see."""
        self._set_round(manifest, "open", "", "")

    def voided(self, manifest: Manifest, head: str, reason: str) -> None:
        """It was ended without a result. May be said again."""
        self._set_round(manifest, "void", reason, head)

    def revealed(self, manifest: Manifest, head: str, ids: Sequence[str]) -> None:
        """Its problems are known: they are retired, and fit for training from now on. May be said again."""
        self._set_round(manifest, "revealed", "", head)
        with self._writing() as base:
            base.executemany("INSERT OR IGNORE INTO retired VALUES (?,?)", [(each, manifest.id) for each in ids])

    def facts(self, round_id: str, ids: Sequence[str]) -> dict[str, Any]:
        """What a report says about the past: rounds begun and voided here, and how many problems were used before."""
        others = self._ask("SELECT state FROM rounds WHERE id != ?", (round_id,))
        used = {row[0] for row in self._ask("SELECT id FROM retired WHERE round != ?", (round_id,))}
        states = [row[0] for row in others]
        return {
            "rounds": len(states) + 1,
            "voided": states.count("void"),
            "unfinished": states.count("open"),
            "retired_before": sum(identity in used for identity in ids),
        }

    def rounds(self) -> list[dict[str, Any]]:
        """All rounds, oldest first: {id, title, created, state, reason, head}."""
        names = ("id", "title", "created", "state", "reason", "head")
        found = self._ask(f"SELECT {','.join(names)} FROM rounds ORDER BY created, id")
        return [dict(zip(names, row, strict=True)) for row in found]

    def _set_round(self, manifest: Manifest, state: str, reason: str, head: str) -> None:
        row = (manifest.id, manifest.title, manifest.created, state, reason, head)
        with self._writing() as base:
            base.execute("INSERT OR REPLACE INTO rounds VALUES (?,?,?,?,?,?)", row)

    def _ask(self, question: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if not self.path.is_file():
            return []
        try:
            with closing(sqlite3.connect(self.path, timeout=WAIT)) as base:
                return base.execute(question, values).fetchall()
        except sqlite3.Error as error:
            raise UsageError(f"the history {self.path} cannot be read ({error}): move it away to begin anew") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=WAIT)) as base, base:
                base.executescript(_TABLES)
                yield base
        except (OSError, sqlite3.Error) as error:
            raise UsageError(
                f"the history {self.path} cannot be written ({error}): looks and rounds are counted there; "
                "set WHETSTONE_HISTORY to a file that can"
            ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
