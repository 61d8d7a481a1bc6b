"""Where each table of banger.db begins, kept beside it: what is lost with a damaged first page, and with it the rest.

SQLite says that nowhere but in the schema table, whose pages are in the same file. Root pages never change unless the
schema does (nothing here runs VACUUM), so a copy that the owner compares at every start is never out of date.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec

from banger.store.database import Database
from banger.store.files import Files, Reached, refusals, unwatched

SUFFIX = ".outline"
_JOURNAL_VERSIONS = slice(18, 20)
"""This and the next are fields of the header (sqlite.org/fileformat2.html §1.3)."""
_CHANGES, _PAGES, _VALID_FOR = slice(24, 28), slice(28, 32), slice(92, 96)
_ROLLBACK, _WAL = b"\1\1", b"\2\2"


class Table(msgspec.Struct, frozen=True):
    """A table: the number of its first page, and its columns with their defaults (as SQL, or None)."""

    root: int
    columns: dict[str, str | None]

    def sql(self, name: str) -> str:
        """A statement that makes a table of the same layout. What the columns must hold is for the new file to say."""
        columns = (one if default is None else f"{one} DEFAULT {default}" for one, default in self.columns.items())
        return f"CREATE TABLE {name} ({', '.join(columns)})"


class Outline(msgspec.Struct, frozen=True):
    """All tables of a file."""

    page_bytes: int
    tables: dict[str, Table]


def outline_of(database: Database) -> Outline:
    """What the schema says now."""
    (page_bytes,) = database.rows("PRAGMA page_size")[0]
    tables = {}
    for name, root in database.table("SELECT name, rootpage FROM sqlite_schema WHERE type = 'table' ORDER BY name"):
        columns = {row["name"]: row["dflt_value"] for row in database.rows(f"PRAGMA table_info({name})")}
        tables[name] = Table(root, columns)
    return Outline(page_bytes, tables)


def keep_outline(database: Database, reached: Reached = unwatched) -> None:
    """Write it beside the database, durably, if what is there says anything else."""
    wanted = msgspec.json.encode(outline_of(database))
    path = _path(database.path)
    with suppress(OSError):
        if path.read_bytes() == wanted:
            return
    files = Files(reached)
    new = path.with_name(f"{path.name}.new")
    with refusals(f"write {path}"):
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            files.write(fd, wanted)
            files.sync(fd)
        finally:
            os.close(fd)
        files.rename(new, path)
        files.sync_directory(path.parent)


def read_outline(database: Path) -> Outline | None:
    """What was kept beside a database; None if it is not there or cannot be read."""
    try:
        return msgspec.json.decode(_path(database).read_bytes(), type=Outline)
    except (OSError, msgspec.MsgspecError):
        return None


class ByOutline:
    """A copy of a damaged file, in which any one table at a time can be opened by what the outline says of it."""

    def __init__(self, copy: Path, outline: Outline) -> None:
        self._copy = copy
        self._outline = outline
        self._fold_in_wal()

    def open(self, name: str) -> sqlite3.Connection:
        """A connection that sees this table and no other. Raises sqlite3.Error."""
        table = self._outline.tables.get(name)
        if table is None:
            raise sqlite3.DatabaseError(f"{name} was not there when the outline was written")
        self._put_first_page({name: table}, _ROLLBACK)
        return sqlite3.connect(self._copy, isolation_level=None)

    def _fold_in_wal(self) -> None:
        """What was committed last is in the WAL. Its own checksums say how much of it is whole."""
        self._put_first_page({}, _WAL)
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._copy, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for suffix in ("-wal", "-shm"):
            self._copy.with_name(self._copy.name + suffix).unlink(missing_ok=True)

    def _put_first_page(self, tables: Mapping[str, Table], journal: bytes) -> None:
        page = bytearray(_first_page(tables, self._outline.page_bytes))
        pages = max(1, self._copy.stat().st_size // self._outline.page_bytes)
        page[_JOURNAL_VERSIONS] = journal
        page[_PAGES] = pages.to_bytes(4, "big")
        page[_CHANGES] = page[_VALID_FOR] = (1).to_bytes(4, "big")  # equal: the number of pages is to be believed
        with self._copy.open("r+b") as file:
            file.write(page)


@contextmanager
def by_outline(damaged: Path, outline: Outline) -> Iterator[ByOutline]:
    """Copy a damaged file with its WAL; the copy is gone after the block."""
    import shutil  # brings four compression libraries along

    copy = damaged.with_name(f"{damaged.name}.reading")
    try:
        with refusals(f"copy {damaged}"):
            shutil.copyfile(damaged, copy)
            wal = damaged.with_name(f"{damaged.name}-wal")
            if wal.exists():
                shutil.copyfile(wal, f"{copy}-wal")
        yield ByOutline(copy, outline)
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)


def _first_page(tables: Mapping[str, Table], page_bytes: int) -> bytes:
    """The first page of a file that has these tables and nothing else."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size={page_bytes:d}")
        connection.execute("PRAGMA user_version=1")  # so that there is a page at all
        for name, table in tables.items():
            connection.execute(table.sql(name))
            connection.execute("PRAGMA writable_schema=ON")
            connection.execute("UPDATE sqlite_schema SET rootpage = ? WHERE name = ?", (table.root, name))
        return connection.serialize()[:page_bytes]


def _path(database: Path) -> Path:
    return database.with_name(database.name + SUFFIX)
