"""The journal of leases: who holds which live thing on the host.

An intent is durable before its effect is applied, and the effect's name on the host derives from the lease's id; so
whatever a crash leaves behind can be found and undone from here alone.
"""

from typing import Literal

import msgspec

from banger.model.action import Scope
from banger.model.digest import Digest
from banger.model.errors import StoreError
from banger.store.database import Database


class InputValue(msgspec.Struct, frozen=True):
    """What an input was when the effect was applied: undo must not depend on anything that can be gone by then."""

    node: str
    value: object


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """One effect. `run_id`: None once its run has succeeded; `value`: None until the effect is there for sure."""

    id: str
    vm_id: str | None
    run_id: str | None
    node: str
    scope: Scope
    kind: str
    version: int
    digest: Digest
    params: dict[str, object]
    inputs: dict[str, InputValue]
    value: object = None
    state: Literal["intend", "held", "releasing"] = "intend"
    depends_on: tuple[str, ...] = ()
    boot_id: str


_COLUMNS = Lease.__struct_fields__
_AS_JSON = ("params", "inputs", "depends_on")


class Journal:
    """Leases in the database. Every method that changes one is durable when it returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def intend(self, lease: Lease) -> None:
        """Say what is about to be done."""
        row = [_to_column(name, getattr(lease, name)) for name in _COLUMNS]
        marks = ", ".join("?" * len(row))
        with self._database.transaction("intend") as connection:
            connection.execute(f"INSERT OR REPLACE INTO leases ({', '.join(_COLUMNS)}) VALUES ({marks})", row)  # noqa: S608

    def hold(self, lease_id: str, value: object) -> None:
        """Say that it is done, and what came of it."""
        with self._database.transaction("hold") as connection:
            connection.execute(
                "UPDATE leases SET state = 'held', value = ? WHERE id = ?", (_to_column("value", value), lease_id)
            )

    def releasing(self, lease_id: str) -> None:
        """Say that it is about to be undone."""
        with self._database.transaction("releasing") as connection:
            connection.execute("UPDATE leases SET state = 'releasing' WHERE id = ?", (lease_id,))

    def drop(self, lease_id: str) -> None:
        """Say that it is undone."""
        with self._database.transaction("drop") as connection:
            connection.execute("DELETE FROM leases WHERE id = ?", (lease_id,))

    def hand_over(self, run_id: str) -> None:
        """The run has succeeded: what it holds belongs to the VM, or to the host, from now on."""
        with self._database.transaction("hand-over") as connection:
            connection.execute("UPDATE leases SET run_id = NULL WHERE run_id = ?", (run_id,))

    def get(self, lease_id: str) -> Lease | None:
        """One lease."""
        row = self._database.row("SELECT * FROM leases WHERE id = ?", lease_id)
        return None if row is None else _from_row(dict(row))

    def of_vm(self, vm_id: str) -> list[Lease]:
        """The leases of a VM."""
        return self._select("WHERE vm_id = ?", vm_id)

    def unfinished(self) -> list[Lease]:
        """Leases that no finished run stands for: to be undone if the process that made them is gone."""
        return self._select("WHERE run_id IS NOT NULL OR state != 'held'")

    def all(self) -> list[Lease]:
        """Every lease."""
        return self._select("")

    def _select(self, where: str, *values: object) -> list[Lease]:
        rows = self._database.rows(f"SELECT * FROM leases {where} ORDER BY id", *values)  # noqa: S608
        return [_from_row(dict(row)) for row in rows]


def _to_column(name: str, value: object) -> object:
    if name in _AS_JSON or (name == "value" and value is not None):
        return msgspec.json.encode(value, order="deterministic").decode()
    return int(value) if isinstance(value, Scope) else value


def _from_row(row: dict[str, object]) -> Lease:
    try:
        for name in (*_AS_JSON, "value"):
            if row[name] is not None:
                row[name] = msgspec.json.decode(str(row[name]))
        return msgspec.convert(row, Lease)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise StoreError(
            f"the journal's lease {str(row['id'])[:80]!r} cannot be read: {error}", hint="banger daemon salvage"
        ) from error
