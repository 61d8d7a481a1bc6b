"""Runs and how long each node of them took: what `bench` shows and `plan` predicts from."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from banger.model.clock import Clock
from banger.store.database import Database

_REMEMBERED_TIMES = 20
_RUNS_WITH_HITS = 100
"""Of how many runs it is known which nodes did not have to run."""


class NodeRun(msgspec.Struct, frozen=True):
    """One attempt at one node of one run; times are seconds since the run began. `cache`: "hit", "miss" or "none".

    It waits for its predecessors until `queued_s`, for its pools until `claimed_s`, to be started until `started_s`;
    it runs until `finished_s`, and is recorded and told at `published_s`: these five make up the time of the run.
    `bound_by`: the node whose end it waited for last, as predecessor or as holder of what it claims.
    """

    node: str
    kind: str
    flavour: str
    cache: str
    outcome: str
    queued_s: float
    started_s: float
    finished_s: float
    digest: str | None
    claimed_s: float = 0.0
    published_s: float = 0.0
    attempt: int = 1
    bound_by: str | None = None

    def stages(self) -> dict[str, float]:
        """Seconds of each stage, from the start of the run to where this attempt was published."""
        return {
            "inputs": self.queued_s,
            "resources": self.claimed_s - self.queued_s,
            "dispatch": self.started_s - self.claimed_s,
            "run": self.finished_s - self.started_s,
            "publish": self.published_s - self.finished_s,
        }


Hit: TypeAlias = tuple[str, str, str, float, str]
"""A node whose output was remembered: its id, kind and flavour, when that was found, and the action digest."""


_COLUMNS = ("run_id", *NodeRun.__struct_fields__)
_INSERT = f"INSERT INTO node_runs ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608


class Runs:
    """Runs in the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def begin(self, run_id: str, what: str, vm_id: str | None) -> None:
        """Record that a run starts."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO runs (id, what, vm_id, started_at) VALUES (?, ?, ?, ?)",
                (run_id, what, vm_id, self._clock.wall()),
            )

    def end(
        self, run_id: str, outcome: str, seconds: float, nodes: Iterable[NodeRun], hits: Sequence[Hit] = ()
    ) -> None:
        """Record how it ended: what ran a row each, what did not have to run all in one."""
        nodes = list(nodes)
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE runs SET outcome = ?, seconds = ?, hits = ? WHERE id = ?",
                (outcome, seconds, msgspec.msgpack.encode(hits) if hits else None, run_id),
            )
            connection.execute(
                "UPDATE runs SET hits = NULL WHERE hits IS NOT NULL AND rowid <= (SELECT max(rowid) FROM runs) - ?",
                (_RUNS_WITH_HITS,),
            )
            connection.executemany(_INSERT, [(run_id, *msgspec.structs.astuple(one)) for one in nodes])
        self._learn(nodes)

    def typical_seconds(self) -> dict[str, float]:
        """Median time of recent executions (not of hits), by kind."""
        return {kind: _median(times) for kind, times in self._times().items()}

    def last_seconds(self, kind: str) -> float | None:
        """Time of the newest execution of a kind."""
        times = self._times().get(kind)
        return times[-1] if times else None

    def recent(self, what: str, limit: int) -> list[tuple[str, float, list[NodeRun]]]:
        """The newest successful runs of one sort: (run id, seconds, nodes), the newest first."""
        rows = self._database.rows(
            "SELECT id, seconds, hits FROM runs WHERE what = ? AND outcome = 'succeeded'"
            " ORDER BY started_at DESC LIMIT ?",
            what,
            limit,
        )
        return [(row["id"], row["seconds"], self._nodes(row["id"], row["hits"])) for row in rows]

    def _nodes(self, run_id: str, packed: bytes | None) -> list[NodeRun]:
        rows = self._database.rows("SELECT * FROM node_runs WHERE run_id = ? ORDER BY rowid", run_id)
        ran = [NodeRun(**{name: row[name] for name in NodeRun.__struct_fields__}) for row in rows]
        return sorted([*_hits(packed), *ran], key=lambda one: one.started_s)

    def _times(self) -> dict[str, list[float]]:
        rows = self._database.rows("SELECT kind, seconds FROM kind_times")
        return {row["kind"]: msgspec.json.decode(row["seconds"], type=list[float]) for row in rows}

    def _learn(self, nodes: Iterable[NodeRun]) -> None:
        """Add the executions that succeeded to what is known of their kinds."""
        news: dict[str, list[float]] = {}
        for one in nodes:
            if one.outcome == "done" and one.cache != "hit" and one.flavour != "release":
                news.setdefault(one.kind, []).append(one.finished_s - one.started_s)
        if not news:
            return
        with self._database.transaction() as connection:
            known = self._times()
            rows = [
                (kind, msgspec.json.encode([*known.get(kind, []), *times][-_REMEMBERED_TIMES:]).decode())
                for kind, times in news.items()
            ]
            connection.executemany("INSERT OR REPLACE INTO kind_times VALUES (?, ?)", rows)


def _hits(packed: bytes | None) -> list[NodeRun]:
    hits = [] if packed is None else msgspec.msgpack.decode(packed, type=list[Hit])
    return [
        NodeRun(node, kind, flavour, "hit", "done", at_s, at_s, at_s, digest, at_s, at_s)
        for node, kind, flavour, at_s, digest in hits
    ]


def _median(values: Sequence[float]) -> float:
    """The middle of them. (The module `statistics` takes longer to import than a run that does nothing may last.)"""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
