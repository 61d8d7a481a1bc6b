"""Rebuild a damaged banger.db from what can be read of it: row by row, so that one bad page costs its rows alone.

A table that the damaged file cannot name any more is found by the outline beside it. The damaged file is kept beside
the new one, with its WAL. What a lost lease stood for is found by its name on the host.
"""

import sqlite3
import uuid
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from banger.host.clock import SystemClock
from banger.model.errors import ConflictError, NotFoundError, StoreError
from banger.store.database import Database
from banger.store.files import refusals
from banger.store.journal import Journal
from banger.store.kernels import Kernels
from banger.store.lock import StateLock, opening, without_guests
from banger.store.outline import by_outline, read_outline
from banger.store.state import DATABASE_NAME
from banger.store.vms import Vms

_SUFFIXES = ("", "-wal", "-shm")
_MOST_ROWIDS = 1 << 22


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What was saved, by table; `lost`: tables, leases and VMs that could not be read. `kept`: the damaged file."""

    rows: dict[str, int]
    lost: list[str]
    kept: str


def salvage(root: Path) -> Salvaged:
    """Put the database aside and make a new one. Raises NotFoundError, ConflictError if anybody has it open."""
    path = root / DATABASE_NAME
    if not path.exists():
        raise NotFoundError(f"there is no {path}")
    with opening(root):
        lock = StateLock(root)
    try:
        with without_guests(root) as alone:
            if not alone:
                raise ConflictError(f"another process makes artifacts in {root}", hint="wait until it has ended")
            return _salvage(path)
    finally:
        lock.release()


def _salvage(path: Path) -> Salvaged:
    with refusals(f"put {path} aside"):
        aside = path.with_name(f"{DATABASE_NAME}.damaged-{uuid.uuid4().hex[:8]}")
        for suffix in reversed(_SUFFIXES):  # the WAL before the file that it belongs to
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
    database = Database(path)
    try:
        return _fill(database, aside, path)
    finally:
        database.close()


def _fill(database: Database, aside: Path, path: Path) -> Salvaged:
    tables = [row["name"] for row in database.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    rows: dict[str, int] = {}
    lost: list[str] = []
    with closing(sqlite3.connect(aside, isolation_level=None)) as old:
        for table in tables:
            try:
                rows[table] = _copy_table(old, database, table)
            except sqlite3.Error:
                lost.append(table)
    outline = read_outline(path) if lost else None
    if outline is not None:
        with by_outline(aside, outline) as copy:
            for table in list(lost):
                with suppress(sqlite3.Error), closing(copy.open(table)) as old:
                    rows[table] = _copy_table(old, database, table)
                    lost.remove(table)
    lost.extend(_drop_unreadable(database))
    return Salvaged(rows, lost, str(aside))


def _drop_unreadable(database: Database) -> list[str]:
    """Rows that were read and say nothing any more: with them no daemon could start. They stay in the damaged file."""
    journal, vms, kernels = Journal(database), Vms(database, SystemClock()), Kernels(database, SystemClock())
    dropped = []
    for row in database.rows("SELECT id FROM leases"):
        try:
            journal.get(row["id"])
        except StoreError:
            journal.drop(row["id"])
            dropped.append(f"lease {row['id']}")
    for row in database.rows("SELECT id, name FROM vms"):
        try:
            vms.find(row["id"])
        except StoreError:
            vms.remove(row["id"])
            dropped.append(f"VM {row['name']}")
    for row in database.rows("SELECT name FROM kernels"):
        try:
            kernels.get(row["name"])
        except StoreError:
            kernels.remove(row["name"])
            dropped.append(f"kernel {row['name']}")
    return dropped


def _copy_table(old: sqlite3.Connection, database: Database, table: str) -> int:
    theirs = [str(row[1]) for row in old.execute(f"PRAGMA table_info({table})")]
    ours = [str(row["name"]) for row in database.rows(f"PRAGMA table_info({table})")]
    columns = ", ".join(name for name in ours if name in theirs)
    if not columns:
        raise sqlite3.DatabaseError(f"{table} is not known there")
    marks = ", ".join("?" * len(columns.split(", ")))
    found = _rows(old, table, columns)
    count = 0
    with database.transaction("salvage") as connection:
        connection.execute("PRAGMA defer_foreign_keys=ON")
        for row in found:
            with suppress(sqlite3.IntegrityError):  # a torn row that breaks a rule of the schema
                connection.execute(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", row)  # noqa: S608
                count += 1
        connection.execute("DELETE FROM node_runs WHERE run_id NOT IN (SELECT id FROM runs)")
    return count


def _rows(old: sqlite3.Connection, table: str, columns: str) -> "list[tuple[object, ...]]":
    """Every row that can be read: in one go if the table is whole, else each by its number, from both ends.

    Raises sqlite3.Error if there is none: a table whose root is gone is lost, and not empty.
    """
    try:
        return old.execute(f"SELECT {columns} FROM {table}").fetchall()  # noqa: S608
    except sqlite3.Error as error:
        problem = error
    found: dict[int, tuple[object, ...]] = {}
    for order in ("ASC", "DESC"):
        _walk(old, f"SELECT rowid, {columns} FROM {table} ORDER BY rowid {order}", found)  # noqa: S608
    highest = max(found, default=0)
    for rowid in range(1, min(highest, _MOST_ROWIDS)):
        if rowid not in found:
            with suppress(sqlite3.Error):
                _walk(old, f"SELECT rowid, {columns} FROM {table} WHERE rowid = {rowid}", found)  # noqa: S608
    if not found:
        raise problem
    return [row for _, row in sorted(found.items())]


def _walk(old: sqlite3.Connection, query: str, found: dict[int, tuple[object, ...]]) -> None:
    with suppress(sqlite3.Error):
        for rowid, *row in old.execute(query):
            found[rowid] = tuple(row)
