"""The action cache: action digest -> what the action put out. Only successes of Builds are in it."""

from collections.abc import Iterable, Iterator, Mapping
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
        """The remembered output, if every artifact of it is still there and sound; else it is a miss."""
        row = self._database.row("SELECT value, artifacts FROM actions WHERE digest = ?", digest)
        if row is None:
            return None
        try:
            output = _output(row["value"], row["artifacts"])
        except msgspec.MsgspecError:  # not what was written: `cache verify` tells
            return None
        if not all([self._cas.has(artifact) for artifact in output.artifacts]):  # noqa: C419 - each is to be looked at
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
        with self._database.transaction("record") as connection:
            connection.execute("INSERT OR REPLACE INTO actions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def touch(self, digests: Iterable[str]) -> None:
        """Note that these were of use now: what is not used goes first."""
        now = self._clock.wall()
        with self._database.transaction("touch") as connection:
            connection.executemany("UPDATE actions SET used_at = ? WHERE digest = ?", [(now, one) for one in digests])

    def forget(self, *digests: Digest) -> None:
        """Drop records; the artifacts stay until they are collected."""
        with self._database.transaction("forget") as connection:
            connection.executemany("DELETE FROM actions WHERE digest = ?", [(digest,) for digest in digests])

    def all(self) -> list[Record]:
        """Every record that can be read, the oldest first."""
        return [record for _, record in self.examine() if record is not None]

    def examine(self) -> Iterator[tuple[Digest, Record | None]]:
        """Every record with its digest, the oldest first; None for one that cannot be read."""
        for row in self._database.rows("SELECT * FROM actions ORDER BY made_at, digest"):
            digest = Digest(row["digest"])
            try:
                output = _output(row["value"], row["artifacts"])
            except msgspec.MsgspecError:
                yield digest, None
                continue
            yield (
                digest,
                Record(
                    digest=digest,
                    kind=row["kind"],
                    label=row["label"],
                    output=output,
                    made_at=row["made_at"],
                    used_at=row["used_at"],
                    seconds=row["seconds"],
                ),
            )

    def document(self, digest: Digest) -> dict[str, Canonical] | None:
        """What was hashed into this digest."""
        row = self._database.row("SELECT document FROM actions WHERE digest = ?", digest)
        return None if row is None else msgspec.json.decode(row["document"])


def _output(value: str, artifacts: str) -> Output:
    return Output(
        value=msgspec.json.decode(value),
        artifacts=tuple(Digest(one) for one in msgspec.json.decode(artifacts, type=list[str])),
    )
