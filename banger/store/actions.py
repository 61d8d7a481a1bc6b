"""The action cache: action digest -> what the action put out. Only successes of Builds are in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from banger.model.action import Output
from banger.model.clock import Clock
from banger.model.digest import Canonical, Digest
from banger.store.cas import Cas
from banger.store.database import Database


@dataclass(frozen=True, slots=True)
class Record:
    """One remembered action. `seconds` is what making it took; times are seconds since the epoch."""

    digest: Digest
    kind: str
    label: str
    output: Output
    made_at: float
    used_at: float
    seconds: float


class ActionCache:
    """Records in the database, over artifacts in the CAS."""

    def __init__(self, database: Database, cas: Cas, clock: Clock) -> None:
        self._database = database
        self._cas = cas
        self._clock = clock

    def get(self, digest: Digest) -> Output | None:
        """The remembered output, if every artifact of it is still there."""
        row = self._database.row("SELECT value, artifacts FROM actions WHERE digest = ?", digest)
        if row is None:
            return None
        output = _output(row["value"], row["artifacts"])
        if not all(self._cas.has(artifact) for artifact in output.artifacts):
            return None
        return output

    def put(
        self,
        digest: Digest,
        document: Mapping[str, Canonical],
        output: Output,
        *,
        label: str,
        run_id: str,
        seconds: float,
    ) -> None:
        """Remember a success. The artifacts are durable already: the CAS saw to it."""
        now = self._clock.wall()
        row = (
            digest,
            document["kind"],
            msgspec.json.encode(document, order="deterministic").decode(),
            msgspec.json.encode(output.value, order="deterministic").decode(),
            msgspec.json.encode(output.artifacts).decode(),
            label,
            run_id,
            now,
            now,
            seconds,
        )
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO actions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def touch(self, digests: Iterable[str]) -> None:
        """Note that these were of use now: what is not used goes first."""
        now = self._clock.wall()
        with self._database.transaction() as connection:
            connection.executemany("UPDATE actions SET used_at = ? WHERE digest = ?", [(now, one) for one in digests])

    def forget(self, digest: Digest) -> None:
        """Drop a record; the artifacts stay until they are collected."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM actions WHERE digest = ?", (digest,))

    def all(self) -> list[Record]:
        """Every record, the oldest first."""
        rows = self._database.rows("SELECT * FROM actions ORDER BY made_at, digest")
        return [
            Record(
                digest=Digest(row["digest"]),
                kind=row["kind"],
                label=row["label"],
                output=_output(row["value"], row["artifacts"]),
                made_at=row["made_at"],
                used_at=row["used_at"],
                seconds=row["seconds"],
            )
            for row in rows
        ]

    def document(self, digest: Digest) -> dict[str, Canonical] | None:
        """What was hashed into this digest."""
        row = self._database.row("SELECT document FROM actions WHERE digest = ?", digest)
        return None if row is None else msgspec.json.decode(row["document"])


def _output(value: str, artifacts: str) -> Output:
    return Output(
        value=msgspec.json.decode(value),
        artifacts=tuple(Digest(one) for one in msgspec.json.decode(artifacts, type=list[str])),
    )
