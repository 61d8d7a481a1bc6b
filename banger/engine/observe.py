"""What a run tells while it goes on, and what it leaves in the record of times."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from banger.graph.build import Graph
from banger.graph.events import Execute
from banger.model.action import Flavour, Node
from banger.model.clock import Clock
from banger.store.runs import Hit, NodeRun
from banger.tasks import Progress

if TYPE_CHECKING:
    from banger.model.progress import NodeState

Emit = Callable[[Mapping[str, Any]], None]
"""Takes an event of banger.model.progress."""

_PROGRESS_EVERY_S = 0.1


class _Attempt(msgspec.Struct):
    """One execution under way; seconds since the run began."""

    number: int
    digest: str | None
    bound_by: str | None
    ready_s: float
    claimed_s: float
    started_s: float = -1.0
    finished_s: float = -1.0


class Observer:
    """Times and events of one run. `emit` None: nobody listens, and only the record is kept."""

    def __init__(self, graph: Graph, clock: Clock, emit: Emit | None) -> None:
        self._graph = graph
        self._monotonic = clock.monotonic
        self._emit = emit
        self._origin = clock.monotonic()
        self._now_s = 0.0
        self._published_s: dict[str, float] = {}
        self._attempts: dict[str, _Attempt] = {}
        self._reported: dict[str, float] = {}
        self.records: list[NodeRun] = []
        self.hits: list[Hit] = []
        self.cached = 0
        self.ran = 0

    def seconds(self) -> float:
        """Since the run began."""
        return self._monotonic() - self._origin

    def tick(self) -> None:
        """An event goes into the scheduler: all that follows from it happens at this moment."""
        self._now_s = self._monotonic() - self._origin

    def event(self, kind: str, **fields: object) -> None:
        """Send an event, stamped with the time."""
        if self._emit is not None:
            self._emit({"event": kind, "at": self._monotonic(), **fields})

    def plan(self, expected: Mapping[str, float]) -> None:
        """Say which nodes this run may run. Releases are told when they happen."""
        if self._emit is None:
            return
        nodes = [
            {
                "id": node.id,
                "kind": node.action.kind,
                "flavour": str(node.action.flavour),
                "label": node.label or node.id,
                "expected_s": expected.get(node.action.kind),
            }
            for node in self._graph.nodes.values()
            if node.action.flavour is not Flavour.RELEASE
        ]
        self.event("plan", nodes=nodes)

    def hit(self, node: Node, digest: str) -> None:
        """The node's output was remembered."""
        self.cached += 1
        self._published_s[node.id] = at_s = self._now_s
        self.hits.append((node.id, node.action.kind, node.action.flavour, at_s, digest))
        if self._emit is not None:
            self.event("node", id=node.id, state="hit")

    def claimed(self, command: Execute) -> None:
        """The node has what it needs, and is to be started."""
        bound_by = command.granted_by or command.freed_by
        ready_s = self._published_s.get(command.freed_by or "", 0.0)
        if command.attempt > 1:
            ready_s, bound_by = self._published_s[command.node], command.node
        self._attempts[command.node] = _Attempt(command.attempt, command.digest, bound_by, ready_s, self._now_s)

    def started(self, node: Node) -> None:
        """The node runs."""
        self._attempts[node.id].started_s = self._monotonic() - self._origin
        if self._emit is not None:
            self.event("node", id=node.id, state="running")

    def waiting(self, node: Node, who: str) -> None:
        """Somebody else makes the same artifact."""
        self.event("node", id=node.id, state="waiting", detail=f"{who} is making it")

    def progress(self, node: Node, progress: Progress) -> None:
        """How far the node is; told at most ten times a second."""
        now = self.seconds()
        finished = progress.done == progress.total
        if not finished and now - self._reported.get(node.id, -1.0) < _PROGRESS_EVERY_S:
            return
        self._reported[node.id] = now
        extra = {"text": progress.text} if progress.text else {}
        self.event("progress", id=node.id, done=progress.done, total=progress.total, unit=progress.unit, **extra)

    def finished(self, node: Node) -> None:
        """The node's own work is over; what came of it is yet to be recorded."""
        self._attempts[node.id].finished_s = self._monotonic() - self._origin

    def ended(self, node: Node, state: "NodeState", *, detail: str | None = None) -> None:
        """The node is at its end, or will be tried again, and that is now told to the scheduler."""
        if state == "hit":  # an effect that was there, or a build that another run made meanwhile
            self.cached += 1
        elif state == "done":
            self.ran += 1
        flavour = node.action.flavour
        remembered = flavour is Flavour.BUILD or flavour is Flavour.QUERY
        cache = "hit" if state == "hit" else "miss" if remembered else "none"
        outcome = "done" if state in {"hit", "released"} else state
        record = self._record(node, cache, outcome)
        if self._emit is not None:
            extra = {"detail": detail} if detail else {}
            took_s = record.finished_s - record.started_s
            self.event("node", id=node.id, state=state, seconds=took_s, **extra)

    def _record(self, node: Node, cache: str, outcome: str) -> NodeRun:
        self.tick()
        now, one = self._now_s, self._attempts.pop(node.id)
        started = now if one.started_s < 0 else one.started_s
        finished = now if one.finished_s < 0 else one.finished_s
        self._published_s[node.id] = now
        record = NodeRun(
            node.id,
            node.action.kind,
            node.action.flavour,
            cache,
            outcome,
            one.ready_s,
            started,
            finished,
            one.digest,
            one.claimed_s,
            now,
            one.number,
            one.bound_by,
        )
        self.records.append(record)
        return record
