"""Past runs: their graphs, and what each of their nodes was made from, for `banger why`, `runs` and `trace`.

Documents are kept once however many runs share them. Only the newest `KEPT_RUNS` runs keep theirs.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from banger.model.digest import Canonical, Digest
from banger.model.errors import NotFoundError, SpecError
from banger.model.story import ToldNode
from banger.store.database import Database
from banger.store.runs import Hit, NodeRun

KEPT_RUNS = 200
DOCUMENT_LIMIT_BYTES = 256 * 1024
"""A longer one is not kept: then only its digest is known to have changed."""
_WORTH_DEFLATING_BYTES = 1024
"""Below that it takes longer than all the rest, to save less than SQLite's own framing."""
_DEFLATED = b"x"
"""How zlib's stream begins (RFC 1950 §2.2, with the window that it uses unless told otherwise), and no JSON does."""
NEWEST = "last"
"""Stands for the newest run that made or started a VM: not for its deletion, nor for a template made behind it."""
BY_THE_WAY = frozenset(("vm.delete", "vm.stop", "recover", "refresh", "vm.template", "vm.freeze"))
"""Sorts of runs that nobody means who says no more."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run. `number` grows with each run; `seconds` and `outcome` are None while it runs."""

    number: int
    id: str
    what: str
    vm_id: str | None
    started_at: float
    seconds: float | None
    outcome: str | None


class History:
    """Reads what runs left; `keep` is the one writer of graphs and documents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(
        self,
        run_id: str,
        nodes: Iterable[ToldNode],
        documents: Mapping[Digest, object],
        sizes: Mapping[str, int],
    ) -> None:
        """Keep a run's graph, its documents by digest, and the sizes of what it made, by kind."""
        packed = [(digest, msgspec.json.encode(one, order="deterministic")) for digest, one in documents.items()]
        with self._database.transaction() as connection:
            row = self._database.row("SELECT rowid AS number FROM runs WHERE id = ?", run_id)
            assert row is not None, f"run {run_id} was never begun"
            number = row["number"]
            connection.execute(
                "INSERT INTO run_graphs VALUES (?, ?)", (run_id, zlib.compress(msgspec.msgpack.encode(list(nodes))))
            )
            connection.executemany(
                "INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT (digest) DO UPDATE SET run = excluded.run",
                [(digest, _pack(one), number) for digest, one in packed if len(one) <= DOCUMENT_LIMIT_BYTES],
            )
            connection.executemany("INSERT OR REPLACE INTO kind_sizes VALUES (?, ?)", list(sizes.items()))
            oldest = number - KEPT_RUNS
            connection.execute("DELETE FROM documents WHERE run <= ?", (oldest,))
            connection.execute(
                "DELETE FROM run_graphs WHERE run_id IN (SELECT id FROM runs WHERE rowid <= ?)", (oldest,)
            )

    def runs(self, limit: int, what: str | None = None) -> list[PastRun]:
        """The newest runs, the newest first."""
        rows = self._database.rows(
            "SELECT rowid AS number, * FROM runs WHERE ?1 IS NULL OR what = ?1 ORDER BY rowid DESC LIMIT ?2",
            what,
            limit,
        )
        return [_past(row) for row in rows]

    def likeliest(self, limit: int) -> list[PastRun]:
        """The newest runs, the one that is most likely meant first."""
        return sorted(self.runs(limit), key=lambda run: run.what in BY_THE_WAY)

    def find(self, ref: str) -> PastRun:
        """A run by its id, the beginning of it, or `last`. Raises NotFoundError, or SpecError if several begin so."""
        if ref == NEWEST:
            found = self.likeliest(KEPT_RUNS)[:1]
        else:
            rows = self._database.rows(
                "SELECT rowid AS number, * FROM runs WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2", ref
            )
            found = [_past(row) for row in rows] if ref else []
        if not found and ref == NEWEST:
            raise NotFoundError("nothing has been run here yet", hint="banger vm run")
        if not found:
            raise NotFoundError(f"there is no run {ref[:40]!r}", hint="banger runs ls")
        if len(found) > 1:
            raise SpecError(f"several runs begin with {ref[:40]!r}: write more of it", hint="banger runs ls")
        return found[0]

    def before(self, run: PastRun) -> PastRun | None:
        """The run of the same sort before it."""
        row = self._database.row(
            "SELECT rowid AS number, * FROM runs WHERE what = ? AND rowid < ? ORDER BY rowid DESC LIMIT 1",
            run.what,
            run.number,
        )
        return None if row is None else _past(row)

    def times(self, run_id: str) -> list[NodeRun]:
        """Every attempt, and every hit, by start."""
        row = self._database.row("SELECT hits FROM runs WHERE id = ?", run_id)
        packed = None if row is None else row["hits"]
        hits = [] if packed is None else msgspec.msgpack.decode(packed, type=list[Hit])
        found = [
            NodeRun(node, kind, flavour, "hit", "done", at_s, at_s, at_s, digest, at_s, at_s)
            for node, kind, flavour, at_s, digest in hits
        ]
        rows = self._database.rows("SELECT * FROM node_runs WHERE run_id = ? ORDER BY rowid", run_id)
        found += [NodeRun(**{name: row[name] for name in NodeRun.__struct_fields__}) for row in rows]
        return sorted(found, key=lambda one: one.started_s)

    def graph(self, run_id: str) -> list[ToldNode]:
        """The nodes of a run in topological order; empty if they are not kept any more."""
        row = self._database.row("SELECT nodes FROM run_graphs WHERE run_id = ?", run_id)
        return [] if row is None else msgspec.msgpack.decode(zlib.decompress(row["nodes"]), type=list[ToldNode])

    def documents(self, digests: Iterable[Digest]) -> dict[Digest, Canonical]:
        """What is kept of these action documents and values."""
        found: dict[Digest, Canonical] = {}
        for digest in digests:
            row = self._database.row("SELECT content FROM documents WHERE digest = ?", digest)
            if row is not None:
                found[digest] = msgspec.json.decode(_unpack(row["content"]))
        return found

    def sizes(self) -> dict[str, int]:
        """Bytes that the newest execution of each kind put out."""
        return {row["kind"]: row["size_bytes"] for row in self._database.rows("SELECT * FROM kind_sizes")}


def _past(row: sqlite3.Row) -> PastRun:
    return PastRun(**{name: row[name] for name in PastRun.__slots__})


def _pack(text: bytes) -> bytes:
    return text if len(text) < _WORTH_DEFLATING_BYTES else zlib.compress(text)


def _unpack(content: bytes) -> bytes:
    return zlib.decompress(content) if content.startswith(_DEFLATED) else content
