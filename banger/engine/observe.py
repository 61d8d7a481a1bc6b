"""What a run tells while it goes on, and what it leaves in the record of times."""

from collections.abc import Callable, Mapping
from typing import Any

from banger.graph.build import Graph
from banger.model.action import Flavour, Node
from banger.model.clock import Clock
from banger.model.progress import NodeState
from banger.store.runs import NodeRun
from banger.tasks import Progress

Emit = Callable[[Mapping[str, Any]], None]
"""Takes an event of banger.model.progress."""

_PROGRESS_EVERY_S = 0.1


class Observer:
    """Times and events of one run."""

    def __init__(self, graph: Graph, clock: Clock, emit: Emit) -> None:
        self._graph = graph
        self._clock = clock
        self._emit = emit
        self._origin = clock.monotonic()
        self._ready: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._reported: dict[str, float] = {}
        self.records: list[NodeRun] = []
        self.cached = 0
        self.ran = 0

    def seconds(self) -> float:
        """Since the run began."""
        return self._clock.monotonic() - self._origin

    def event(self, kind: str, **fields: object) -> None:
        """Send an event, stamped with the time."""
        self._emit({"event": kind, "at": self._clock.monotonic(), **fields})

    def plan(self, expected: Mapping[str, float]) -> None:
        """Say which nodes this run may run. Releases are told when they happen."""
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
        self._record(node, self.seconds(), cache="hit", outcome="done", digest=digest)
        self.event("node", id=node.id, state="hit")

    def started(self, node: Node) -> None:
        """The node runs."""
        self._started[node.id] = self.seconds()
        self.event("node", id=node.id, state="running")

    def waiting(self, node: Node) -> None:
        """Another run makes the same artifact."""
        self.event("node", id=node.id, state="waiting", detail="another run is making it")

    def progress(self, node: Node, progress: Progress) -> None:
        """How far the node is; told at most ten times a second."""
        now = self.seconds()
        finished = progress.done == progress.total
        if not finished and now - self._reported.get(node.id, -1.0) < _PROGRESS_EVERY_S:
            return
        self._reported[node.id] = now
        extra = {"text": progress.text} if progress.text else {}
        self.event("progress", id=node.id, done=progress.done, total=progress.total, unit=progress.unit, **extra)

    def ended(self, node: Node, state: NodeState, *, digest: str | None = None, detail: str | None = None) -> None:
        """The node is at its end, or will be tried again."""
        started = self._started.get(node.id, self.seconds())
        if state == "hit":  # an effect that was there, or a build that another run made meanwhile
            self.cached += 1
        elif state == "done":
            self.ran += 1
        remembered = node.action.flavour is Flavour.BUILD or node.action.flavour is Flavour.QUERY
        cache = "hit" if state == "hit" else "miss" if remembered else "none"
        outcome = {"hit": "done", "released": "done"}.get(state, state)
        self._record(node, started, cache=cache, outcome=outcome, digest=digest)
        extra = {"detail": detail} if detail else {}
        self.event("node", id=node.id, state=state, seconds=self.seconds() - started, **extra)

    def _record(self, node: Node, started: float, *, cache: str, outcome: str, digest: str | None) -> None:
        now = self.seconds()
        self.records.append(
            NodeRun(
                node=node.id,
                kind=node.action.kind,
                flavour=str(node.action.flavour),
                cache=cache,
                outcome=outcome,
                queued_s=self._ready.get(node.id, 0.0),
                started_s=started,
                finished_s=now,
                digest=digest,
            )
        )
        for after in self._graph.successors[node.id]:
            self._ready[after] = now
