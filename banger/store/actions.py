"""The action cache: action digest -> what the action put out. Only successes of Builds are in it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from banger.model.action import Output
from banger.model.clock import Clock
from banger.model.digest import Canonical, Digest
from banger.store.cas import Cas
from banger.store.database import Database

USE_RESOLUTION_S = 600.0
"""How exactly it is known when a record was last of use: a run that finds all it needs does not rewrite all of it."""
_WORTH_LOADING = 8


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


class Row(NamedTuple):
    """A record as `load` reads it; all but the last are text."""

    digest: Digest
    output_digest: Digest
    value: str
    artifacts: str
    used_at: float


class ActionCache:
    """Records in the database, over artifacts in the CAS."""

    def __init__(self, database: Database, cas: Cas, clock: Clock) -> None:
        self._database = database
        self._cas = cas
        self._clock = clock

    def get(self, digest: Digest) -> Output | None:
        """The remembered output, if every artifact of it is still there and sound; else it is a miss."""
        row = self._database.row("SELECT output_digest, value, artifacts FROM actions WHERE digest = ?", digest)
        if row is None:
            return None
        try:
            output = _output(row["output_digest"], row["value"], row["artifacts"])
        except msgspec.MsgspecError:  # not what was written: `cache verify` tells
            return None
        return self.if_whole(output)

    def if_whole(self, output: Output) -> Output | None:
        """An output, if every artifact of it is still there and sound."""
        # Each is to be looked at: what is damaged is put aside, all of it at once.
        if output.artifacts and not all([self._cas.has(artifact) for artifact in output.artifacts]):  # noqa: C419
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
        self.put_rows([self.row(digest, document, output, label=label, run_id=run_id, seconds=seconds)])

    def row(
        self,
        digest: Digest,
        document: Mapping[str, Canonical],
        output: Output,
        *,
        label: str,
        run_id: str,
        seconds: float,
    ) -> tuple[object, ...]:
        """What `put_rows` takes: a success that ended now."""
        now = self._clock.wall()
        return (
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
            output.digest,
        )

    @property
    def in_transaction(self) -> bool:
        """Whether what is put now is durable only later."""
        return self._database.in_transaction

    def put_rows(self, rows: Iterable[tuple[object, ...]]) -> None:
        """Remember many successes, all or none of them. Their artifacts are durable already: the CAS saw to it."""
        with self._database.transaction("record") as connection:
            connection.executemany("INSERT OR REPLACE INTO actions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def load(self, wanted: int) -> dict[Digest, Row] | None:
        """Every record, as it is stored, if `wanted` of them are a good part of all; otherwise None.

        Reading a table costs a sixth of what reading it row by row does.
        """
        (count,) = self._database.rows("SELECT count(*) FROM actions")[0]
        if count > wanted * _WORTH_LOADING:
            return None
        rows = self._database.table(f"SELECT {', '.join(Row.__annotations__)} FROM actions")  # noqa: S608
        return {row[0]: row for row in rows}  # type: ignore[misc]

    def output_of(self, row: Row) -> Output | None:
        """What a loaded record says, if it can be read and every artifact of it is still there and sound."""
        _, output_digest, value, artifacts, _ = row
        try:
            if artifacts == "[]":
                return Output(msgspec.json.decode(value), (), output_digest)
            output = _output(output_digest, value, artifacts)
        except msgspec.MsgspecError:
            return None
        return self.if_whole(output)

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
                output = _output(row["output_digest"], row["value"], row["artifacts"])
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


def _output(digest: Digest | None, value: str, artifacts: str) -> Output:
    return Output(
        value=msgspec.json.decode(value),
        artifacts=tuple(Digest(one) for one in msgspec.json.decode(artifacts, type=list[str])),
        digest=digest or Digest(""),
    )
