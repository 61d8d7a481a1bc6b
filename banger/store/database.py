"""banger.db: one SQLite file, one writer, every commit durable before it is acted upon."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from banger.model.errors import StoreError
from banger.store.schema import MIGRATIONS


class Database:
    """One connection, shared by the threads of the process that holds the state directory's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._turn = threading.RLock()  # a transaction must not take in what another thread does meanwhile
        self.connection.row_factory = sqlite3.Row
        # A connection does not inherit these; synchronous=FULL is what makes an intent durable before its effect.
        for pragma in ("busy_timeout=5000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self.connection.execute(f"PRAGMA {pragma}")
        self._migrate()

    def close(self) -> None:
        """Close the connection; what was committed stays."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block, durable at its end, or nothing of it. A transaction inside another is part of the outer."""
        with self._turn:
            if self.connection.in_transaction:
                yield self.connection
                return
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Run a query."""
        with self._turn:
            return self.connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        """Run a query for at most one row."""
        with self._turn:
            row: sqlite3.Row | None = self.connection.execute(sql, values).fetchone()
            return row

    def _migrate(self) -> None:
        version = int(self.connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.path} was written by a newer banger (schema {version}, this one knows {len(MIGRATIONS)})",
                hint="upgrade banger, or set BANGER_STATE_DIR to another directory",
            )
        for number, step in enumerate(MIGRATIONS[version:], start=version + 1):
            with self.transaction() as connection:
                if int(connection.execute("PRAGMA user_version").fetchone()[0]) >= number:
                    continue  # another process was faster
                for statement in step.split(";\n"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version={number}")
