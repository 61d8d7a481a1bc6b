"""Kernels that the user has by name: what was pulled from a catalog, and what was imported."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from banger.model.clock import Clock
from banger.model.digest import Digest
from banger.model.errors import StoreError
from banger.model.kernel_source import ImportedKernel, KernelChoice, KernelSource
from banger.store.database import Database


@dataclass(frozen=True, slots=True)
class KernelRecord:
    """`added_at`: seconds since the epoch. `made`: the artifacts that boot, as they were when it came in."""

    name: str
    source: KernelSource
    added_at: float
    made: tuple[Digest, ...]

    @property
    def choice(self) -> KernelChoice:
        """The kernel as a plan wants it."""
        return KernelChoice(self.name, self.source)


class Kernels:
    """Kernel records in the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def put(self, choice: KernelChoice, made: tuple[Digest, ...]) -> None:
        """Take a kernel in, or in place of another of its name."""
        row = (choice.name, _encode(choice.source), _encode(made), self._clock.wall())
        with self._database.transaction("kernel") as connection:
            connection.execute("INSERT OR REPLACE INTO kernels VALUES (?, ?, ?, ?)", row)

    def remove(self, name: str) -> None:
        """Forget a kernel; absent is fine."""
        with self._database.transaction("kernel") as connection:
            connection.execute("DELETE FROM kernels WHERE name = ?", (name,))

    def get(self, name: str) -> KernelRecord | None:
        """One kernel, or None."""
        row = self._database.row("SELECT * FROM kernels WHERE name = ?", name)
        return None if row is None else _record(row)

    def all(self) -> list[KernelRecord]:
        """Every kernel, by name."""
        return [_record(row) for row in self._database.rows("SELECT * FROM kernels ORDER BY name")]


def roots_of(record: KernelRecord) -> Iterator[Digest]:
    """Every artifact that the kernel needs: what it was made of as far as that is the user's, and what boots."""
    yield from record.made
    if isinstance(record.source, ImportedKernel):
        for file in (record.source.image, record.source.modules, record.source.initrd):
            if file is not None:
                yield file.digest


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _record(row: sqlite3.Row) -> KernelRecord:
    try:
        source = msgspec.json.decode(row["source"], type=KernelSource)
        made = msgspec.json.decode(row["made"], type=tuple[Digest, ...])
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"the record of kernel {row['name']!r} cannot be read: {error}", hint="banger daemon salvage"
        ) from error
    return KernelRecord(row["name"], source, row["added_at"], made)
