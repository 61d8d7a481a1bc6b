"""banger.db: one SQLite file, one writer at a time, every commit durable before it is acted upon."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from banger.model.errors import BangerError, HostError, NoSpaceError, StoreError
from banger.store.ballast import Ballast
from banger.store.files import Reached, unwatched
from banger.store.schema import MIGRATIONS

# A connection does not inherit these; synchronous=FULL is what makes an intent durable before its effect.
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
_BUSY_TIMEOUT_MS = 5000
_PRIMARY = 0xFF  # the low byte of an extended result code (sqlite.org/rescode.html)
_LOST_WRITES = frozenset({
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_DIR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
})  # fmt: skip
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})


class Database:
    """One connection, shared by the threads of a process that has the state directory open."""

    def __init__(self, path: Path, reached: Reached = unwatched, *, with_ballast: bool = True) -> None:
        """Open it, making it if need be. Raises StoreError if it is damaged or newer; then it is left as it was.

        `with_ballast`: keep room back beside it. That is for the one process which can also collect.
        """
        self.path = path
        self._reached = reached
        self._turn = threading.RLock()  # a transaction must not take in what another thread does meanwhile
        self._broken = False
        self._ballast = Ballast(path.with_name("ballast")) if with_ballast else None
        with self._refusals():
            self.connection = self._connect()
            try:
                self._migrate()
                if self._ballast is not None:
                    self._ballast.lay_down()
            except BaseException:
                self.connection.close()
                raise

    def close(self) -> None:
        """Close the connection; what was committed stays."""
        self.connection.close()

    @contextmanager
    def transaction(self, what: str = "write") -> Iterator[sqlite3.Connection]:
        """All of the block, durable at its end, or nothing of it. A transaction inside another is part of the outer.

        Raises NoSpaceError, HostError and StoreError for what SQLite reports; IntegrityError is the caller's.
        """
        with self._turn, self._refusals():
            if self.connection.in_transaction:
                yield self.connection
                return
            if self._broken:
                raise HostError(
                    f"{self.path}: an earlier write failed, so no later one can be trusted", hint="banger daemon stop"
                )
            if self._ballast is not None:
                self._ballast.drop_if_full()
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self._reached(f"commit {what}")
                self.connection.execute("COMMIT")
            except BaseException:
                # Also after a failed COMMIT: an open transaction would swallow every later one.
                with suppress(sqlite3.Error):
                    self.connection.execute("ROLLBACK")
                raise
            self._reached(f"committed {what}")

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Run a query."""
        with self._turn, self._refusals():
            return self.connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        """Run a query for at most one row."""
        with self._turn, self._refusals():
            row: sqlite3.Row | None = self.connection.execute(sql, values).fetchone()
            return row

    def table(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query for many rows: as plain tuples they cost a sixth."""
        with self._turn, self._refusals():
            cursor = self.connection.cursor()
            cursor.row_factory = None
            return cursor.execute(sql).fetchall()

    @property
    def in_transaction(self) -> bool:
        """Whether what this thread writes now is durable only later. (Another thread's transaction is waited for.)"""
        with self._turn:
            return self.connection.in_transaction

    def problems(self) -> list[str]:
        """What SQLite finds wrong with the file (PRAGMA integrity_check, foreign_key_check); empty if nothing."""
        found = [str(row[0]) for row in self.rows("PRAGMA integrity_check(20)")]
        broken = [f"{row['table']} row {row['rowid']} names no {row['parent']}" for row in self._foreign_keys()]
        return [*(line for line in found if line != "ok"), *broken]

    def _foreign_keys(self) -> list[sqlite3.Row]:
        return self.rows("PRAGMA foreign_key_check")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")  # first: others may have it open
            self._check_version(connection)  # before anything is written to a file of somebody newer
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_version(self, connection: sqlite3.Connection) -> int:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.path} was written by a newer banger (schema {version}, this one knows {len(MIGRATIONS)})",
                hint="upgrade banger, or set BANGER_STATE_DIR to another directory",
            )
        return version

    def _migrate(self) -> None:
        version = self._check_version(self.connection)
        for number, step in enumerate(MIGRATIONS[version:], start=version + 1):
            with self.transaction(f"schema {number}") as connection:
                if self._check_version(connection) >= number:
                    continue  # another process was faster
                for statement in step.split(";\n"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version={number}")

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise self._refusal(error) from error

    def _refusal(self, error: sqlite3.Error) -> BangerError:
        """What an error of SQLite's means, and what to type."""
        extended = getattr(error, "sqlite_errorcode", 0)
        code = extended & _PRIMARY
        if code == sqlite3.SQLITE_FULL or extended == sqlite3.SQLITE_IOERR_SHMSIZE:  # no room for the index of the WAL
            return NoSpaceError(f"{self.path}: no space left on the device", hint="banger cache prune --all")
        if code in _DAMAGED:
            return StoreError(f"{self.path} is damaged: {error}", hint="banger daemon salvage")
        if extended in _LOST_WRITES:
            # The kernel reports a failed write once. SQLite would go on, on top of pages that never reached the disk.
            self._broken = True
        return HostError(f"{self.path}: {error}", hint="banger doctor")
