"""The ledger of problems that training has seen, so that a report prints a measured overlap and not a
promised one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from whetstone.errors import UsageError
from whetstone.files import atomic_write_bytes, json_bytes
from whetstone.tasks.task import Problem


class Ledger:
    """A set of problem ids."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids = set(ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, problem: object) -> bool:
        return (problem.id if isinstance(problem, Problem) else problem) in self._ids

    def add(self, *problems: Problem) -> None:
        """Record problems as seen. Raises ValueError for a problem without an id (it did not come from a
        Stream).
        """
        for problem in problems:
            if not problem.id:
                raise ValueError("a problem without an id cannot be recorded; draw it from a Stream")
            self._ids.add(problem.id)

    def overlap(self, problems: Iterable[Problem]) -> int:
        """How many of the given problems were seen."""
        return sum(problem.id in self._ids for problem in problems)

    def root(self) -> str:
        """64 hex digits: sha256 over the sorted ids, one a line."""
        return hashlib.sha256("".join(f"{i}\n" for i in sorted(self._ids)).encode()).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write atomically: a crash leaves the old file or the new one, never half a file."""
        atomic_write_bytes(Path(path), self.to_bytes())

    def to_bytes(self) -> bytes:
        """What `save` writes."""
        return json_bytes({"root": self.root(), "ids": sorted(self._ids)})

    @classmethod
    def load(cls, path: str | Path) -> Ledger:
        """Read a saved ledger. Raises UsageError when it is missing, damaged or altered."""
        try:
            saved = json.loads(Path(path).read_text())
            ledger = cls(saved["ids"])
            if ledger.root() != saved["root"]:
                raise ValueError("its ids do not match its root hash")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"cannot read the ledger {path}: {error}") from error
        return ledger
