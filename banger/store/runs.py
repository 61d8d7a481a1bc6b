"""Runs and how long each node of them took: what `bench` shows and `plan` predicts from."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from banger.model.clock import Clock
from banger.store.database import Database

_REMEMBERED_RUNS = 20


@dataclass(frozen=True, slots=True)
class NodeRun:
    """One node of one run; times are seconds since the run began. `cache`: "hit", "miss" or "none"."""

    node: str
    kind: str
    flavour: str
    cache: str
    outcome: str
    queued_s: float
    started_s: float
    finished_s: float
    digest: str | None


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

    def end(self, run_id: str, outcome: str, seconds: float, nodes: Iterable[NodeRun]) -> None:
        """Record how it ended, with its nodes."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE runs SET outcome = ?, seconds = ? WHERE id = ?", (outcome, seconds, run_id))
            connection.executemany(
                "INSERT INTO node_runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        run_id,
                        one.node,
                        one.kind,
                        one.flavour,
                        one.cache,
                        one.outcome,
                        one.queued_s,
                        one.started_s,
                        one.finished_s,
                        one.digest,
                    )
                    for one in nodes
                ],
            )

    def typical_seconds(self) -> dict[str, float]:
        """Median time of recent executions (not of hits), by kind."""
        rows = self._database.rows(
            "SELECT kind, finished_s - started_s AS seconds FROM ("
            " SELECT kind, started_s, finished_s,"
            "  row_number() OVER (PARTITION BY kind ORDER BY rowid DESC) AS age"
            " FROM node_runs WHERE outcome = 'done' AND cache != 'hit' AND flavour != 'release'"
            ") WHERE age <= ?",
            _REMEMBERED_RUNS,
        )
        by_kind: dict[str, list[float]] = {}
        for row in rows:
            by_kind.setdefault(row["kind"], []).append(row["seconds"])
        return {kind: median(times) for kind, times in by_kind.items()}

    def last_seconds(self, kind: str) -> float | None:
        """Time of the newest execution of a kind."""
        row = self._database.row(
            "SELECT finished_s - started_s AS seconds FROM node_runs WHERE kind = ? AND outcome = 'done'"
            " AND cache != 'hit' AND flavour != 'release' ORDER BY rowid DESC LIMIT 1",
            kind,
        )
        return None if row is None else float(row["seconds"])

    def recent(self, what: str, limit: int) -> list[tuple[str, float, list[NodeRun]]]:
        """The newest successful runs of one sort: (run id, seconds, nodes), the newest first."""
        rows = self._database.rows(
            "SELECT id, seconds FROM runs WHERE what = ? AND outcome = 'succeeded' ORDER BY started_at DESC LIMIT ?",
            what,
            limit,
        )
        return [(row["id"], row["seconds"], self._nodes(row["id"])) for row in rows]

    def _nodes(self, run_id: str) -> list[NodeRun]:
        rows = self._database.rows("SELECT * FROM node_runs WHERE run_id = ? ORDER BY started_s, rowid", run_id)
        return [NodeRun(**{name: row[name] for name in NodeRun.__slots__}) for row in rows]
