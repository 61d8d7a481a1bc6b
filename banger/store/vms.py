"""The VMs that exist by name. A name is taken by the row, so two creates cannot both have it."""

import sqlite3
from dataclasses import dataclass

import msgspec

from banger.model.clock import Clock
from banger.model.errors import ConflictError, NotFoundError, StoreError
from banger.model.vm import VmRequest
from banger.store.database import Database


@dataclass(frozen=True, slots=True)
class VmRecord:
    """A VM as it was asked for. `created_at`: seconds since the epoch."""

    id: str
    name: str
    request: VmRequest
    created_at: float


class Vms:
    """VM records in the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, vm_id: str, name: str, request: VmRequest) -> None:
        """Take the name. Raises ConflictError if another VM has it; the same VM again is fine."""
        try:
            with self._database.transaction("vm") as connection:
                connection.execute(
                    "INSERT INTO vms (id, name, request, created_at) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (id) DO UPDATE SET request = excluded.request",
                    (vm_id, name, msgspec.json.encode(request).decode(), self._clock.wall()),
                )
        except sqlite3.IntegrityError:
            raise ConflictError(
                f"there is a VM called {name} already", hint=f"banger vm show {name}, or choose another --name"
            ) from None

    def change(self, vm_id: str, name: str, request: VmRequest) -> None:
        """Call a VM something else, or have it be another shape when it starts next.

        Raises ConflictError if another VM has the name, NotFoundError if there is no such VM.
        """
        encoded = msgspec.json.encode(request).decode()
        try:
            with self._database.transaction("vm") as connection:
                row = connection.execute("UPDATE vms SET name = ?, request = ? WHERE id = ?", (name, encoded, vm_id))
                if row.rowcount != 1:
                    raise NotFoundError("the VM has gone meanwhile", hint="banger vm list")
                # What the journal says of it, for whoever reads that.
                connection.execute(
                    "UPDATE leases SET value = ? WHERE vm_id = ? AND node = 'vm.record'",
                    (msgspec.json.encode(name).decode(), vm_id),
                )
                connection.execute(
                    "UPDATE leases SET value = json_set(value, '$.size_bytes', ?)"
                    " WHERE vm_id = ? AND node = 'disk.work' AND value IS NOT NULL",
                    (request.sizes.disk_bytes, vm_id),
                )
        except sqlite3.IntegrityError:
            raise ConflictError(f"there is a VM called {name} already", hint=f"banger vm show {name}") from None

    def remove(self, vm_id: str) -> None:
        """Give the name back; absent is fine."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM vms WHERE id = ?", (vm_id,))

    def find(self, reference: str) -> VmRecord:
        """A VM by its name or id. Raises NotFoundError."""
        row = self._database.row("SELECT * FROM vms WHERE name = ? OR id = ?", reference, reference)
        if row is None:
            raise NotFoundError(f"there is no VM called {reference[:80]!r}", hint="banger vm list")
        return _record(row)

    def names(self) -> set[str]:
        """Every name that is taken."""
        return {row["name"] for row in self._database.rows("SELECT name FROM vms")}

    def all(self) -> list[VmRecord]:
        """Every VM, the oldest first."""
        return [_record(row) for row in self._database.rows("SELECT * FROM vms ORDER BY created_at, id")]


def _record(row: sqlite3.Row) -> VmRecord:
    try:
        request = msgspec.json.decode(row["request"], type=VmRequest)
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"the record of VM {row['name']!r} cannot be read: {error}", hint="banger daemon salvage"
        ) from error
    return VmRecord(id=row["id"], name=row["name"], request=request, created_at=row["created_at"])
