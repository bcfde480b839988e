"""The file of a library: opened, checked and shared. One writes at a time; who reads is never in the way."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from whetstone.episodes.store import schema
from whetstone.errors import UsageError, WorkFailed
from whetstone.files import disk_full_is_work_failed

WAIT = 30.0  # seconds that a writer waits for another one
_CACHE = 16 << 10  # KiB of pages kept in memory by each connection


class Database:
    """A library's file. Each thread gets a connection of its own; write-ahead logging keeps readers and the writer
    apart. Close it, or use it in a `with`.

    Raises UsageError for a file that is no library, or one of a later version.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._own = threading.local()
        self._all: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.path.parent} cannot be made a folder: {error.strerror}") from None
        try:
            with self._failures():
                self._prepare()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every thread's connection; the log is folded into the file when the last process does so."""
        with self._lock:
            for _, connection in self._all:
                connection.close()
            self._all.clear()
            self._own = threading.local()

    def rows(self, question: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """The rows of one SELECT, all of them from the same moment."""
        with self._failures():
            return self._connection().execute(question, tuple(values)).fetchall()

    def row(self, question: str, values: Iterable[Any] = ()) -> sqlite3.Row | None:
        """The first row of one SELECT."""
        with self._failures():
            return self._connection().execute(question, tuple(values)).fetchone()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One change, whole or not at all: it is kept when the block ends well. Inside another one it is part of it.

        Raises WorkFailed where another process keeps writing for half a minute, or the disk is full.
        """
        with self._failures():
            connection = self._connection()
            if getattr(self._own, "only_reads", False):
                raise RuntimeError("nothing is changed inside of reading()")
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("UPDATE state SET value = value + 1 WHERE key = 'revision'")
                connection.execute("COMMIT")
            except BaseException:
                _undo(connection)
                raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is asked inside the block is all of the same moment, whatever is written meanwhile."""
        with self._failures():
            connection = self._connection()
            if connection.in_transaction:
                yield
                return
            connection.execute("BEGIN")
            self._own.only_reads = True
            try:
                yield
            finally:
                self._own.only_reads = False
                connection.execute("COMMIT")

    def revision(self) -> int:
        """Grows with every change, whoever makes it: what was computed from the library at a revision still holds."""
        found = self.row("SELECT value FROM state WHERE key = 'revision'")
        assert found is not None
        return int(found[0])

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            # transactions are begun by hand; the connection is closed by whichever thread closes the library
            connection = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_CACHE}")
            # what a damaged or forged file holds is not run
            connection.execute("PRAGMA trusted_schema = OFF")
            self._own.connection = connection
            with self._lock:
                for thread, left in self._all:  # servers make threads and end them
                    if not thread.is_alive():
                        left.close()
                self._all = [each for each in self._all if each[0].is_alive()]
                self._all.append((threading.current_thread(), connection))
        return connection

    def _prepare(self) -> None:
        connection = self._connection()
        if not self._is_new(connection):
            self._bring_up_to_date(connection)
            return
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        if self._is_new(connection):  # nobody else made it meanwhile
            for statement in schema.TABLES.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION}")
            connection.execute(f"PRAGMA user_version = {schema.VERSION}")
        connection.execute("COMMIT")

    def _bring_up_to_date(self, connection: sqlite3.Connection) -> None:
        """Turn a file of an earlier version into one of this version, whole or not at all."""
        if connection.execute("PRAGMA user_version").fetchone()[0] == schema.VERSION:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]  # nobody else did it meanwhile
            for step in range(version, schema.VERSION):
                connection.execute(schema.STEPS[step])
            connection.execute(f"PRAGMA user_version = {schema.VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            _undo(connection)
            raise

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application == schema.APPLICATION:
            if version > schema.VERSION:
                raise UsageError(
                    f"{self.path} was made by a later version of whetstone (its form is {version}, this version knows "
                    f"{schema.VERSION}): update whetstone, or name another file"
                )
            return False
        if application or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise UsageError(f"{self.path} is a database of another program: name another file")
        return True

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """SQLite's words in ours."""
        try:
            with disk_full_is_work_failed(self.path, "everything that was in it is intact"):
                yield
        except sqlite3.OperationalError as error:
            said = str(error)
            if "locked" in said or "busy" in said:
                raise WorkFailed(
                    f"another program has been writing to {self.path} for {WAIT:.0f} s: try again when it is done"
                ) from None
            if "full" in said:
                raise WorkFailed(
                    f"the disk is full: {self.path} could not be written; everything that was in it is intact; free "
                    "some space and go on"
                ) from None
            if "unable to open" in said or "readonly" in said:
                raise UsageError(f"{self.path} cannot be opened for writing: {said}") from None
            raise
        except sqlite3.DatabaseError as error:
            if "not a database" in str(error):
                raise UsageError(f"{self.path} is no library of episodes: name another file") from None
            if "malformed" in str(error):
                raise WorkFailed(f"{self.path} is damaged: restore a copy, or import into a new file") from None
            raise


def _undo(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # a full disk may have ended it already
        connection.execute("ROLLBACK")
