"""A run as Chrome trace events, as Perfetto and chrome://tracing read them.

Format: "Trace Event Format", the JSON object form. One thread for each slot of a pool that was in use at once; flow
arrows from a node to those that needed it; a counter for each pool; the guest's boot on threads of its own.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from banger.graph.render.lanes import lanes, pack
from banger.graph.timeline import critical_path
from banger.model.history import RunNodeView, RunView

TraceEvent: TypeAlias = dict[str, Any]

_HOST, _GUEST = 1, 2
_HITS = 0
_MICRO = 1e6
_WORTH_A_SLICE_S = 0.0005


def chrome_trace(view: RunView) -> dict[str, Any]:
    """The whole document; times are microseconds since the start of the run."""
    critical = {(step.node, step.attempt) for step in critical_path(view)}
    places: dict[tuple[str, int], int] = {}
    events = [_name("process_name", _HOST, 0, "banger"), _name("thread_name", _HOST, _HITS, "cache hits")]
    for thread, (name, row) in enumerate(lanes(view.nodes), start=1):
        events.append(_name("thread_name", _HOST, thread, name))
        for node in row:
            places[node.id, node.attempt] = thread
            events += _slices(node, thread, is_critical=(node.id, node.attempt) in critical)
    hits = [node for node in view.nodes if (node.id, node.attempt) not in places]
    events += [_instant(node) for node in hits]
    events += _flows(view.nodes, places)
    events += _counters(view)
    events += _guest(view)
    run = view.run
    about = {"run": run.id, "what": run.what, "mode": run.mode, "outcome": run.outcome, "seconds": run.seconds}
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}


def _slices(node: RunNodeView, thread: int, *, is_critical: bool) -> Iterator[TraceEvent]:
    """The node from when it had its pools until it was recorded, and inside it what was not its own work."""
    about = {
        "kind": node.kind,
        "label": node.label,
        "cache": node.cache,
        "outcome": node.outcome,
        "attempt": node.attempt,
        "digest": node.digest,
        "size_bytes": node.size_bytes,
        "waited_for": node.bound_by,
        "waited_for_pools_s": round(node.claimed_s - node.ready_s, 6),
        "critical": is_critical,
    }
    yield _slice(node.id, node.flavour, _HOST, thread, node.claimed_s, node.published_s, about)
    for name, start, end in (
        ("dispatch", node.claimed_s, node.started_s),
        ("publish", node.finished_s, node.published_s),
    ):
        if end - start >= _WORTH_A_SLICE_S:
            yield _slice(name, "banger", _HOST, thread, start, end, {})


def _flows(nodes: Iterable[RunNodeView], places: dict[tuple[str, int], int]) -> Iterator[TraceEvent]:
    """An arrow binds to the slice around its time on its thread: so it starts just inside the first one's end."""
    last = {node.id: node for node in nodes if (node.id, node.attempt) in places}
    number = 0
    for node in last.values():
        for name in node.depends_on:
            before = last.get(name)
            if before is None:
                continue
            number += 1
            shared = {"name": "needs", "cat": "needs", "id": number, "pid": _HOST}
            start = max(before.claimed_s, before.published_s - 1 / _MICRO)
            yield {**shared, "ph": "s", "ts": _us(start), "tid": places[before.id, before.attempt]}
            yield {**shared, "ph": "f", "bp": "e", "ts": _us(node.claimed_s), "tid": places[node.id, node.attempt]}


def _counters(view: RunView) -> Iterator[TraceEvent]:
    for pool in view.pools:
        changes: list[tuple[float, int]] = []
        for node in view.nodes:
            held = sum(claim.amount for claim in node.claims if claim.pool == pool.name)
            if held and node.cache != "hit":
                changes += [(node.claimed_s, held), (node.published_s, -held)]
        used = 0
        name = f"pool {pool.name} (of {pool.capacity})"
        for at_s, change in sorted(changes):
            used += change
            yield {"name": name, "ph": "C", "ts": _us(at_s), "pid": _HOST, "tid": 0, "args": {"in use": used}}


def _guest(view: RunView) -> Iterator[TraceEvent]:
    if view.spans:
        yield _name("process_name", _GUEST, 0, "guest")
    for thread, row in enumerate(pack((span.start_s, span.end_s, span) for span in view.spans), start=1):
        yield _name("thread_name", _GUEST, thread, "boot")
        for span in row:
            yield _slice(span.name, "boot", _GUEST, thread, span.start_s, span.end_s, {"node": span.node})


def _slice(
    name: str, category: str, process: int, thread: int, start_s: float, end_s: float, about: dict[str, Any]
) -> TraceEvent:
    start, end = _us(start_s), _us(end_s)
    return {
        "name": name,
        "cat": category,
        "ph": "X",
        "ts": start,
        "dur": round(end - start, 3),
        "pid": process,
        "tid": thread,
        "args": about,
    }


def _instant(node: RunNodeView) -> TraceEvent:
    about = {"kind": node.kind, "digest": node.digest, "size_bytes": node.size_bytes}
    event = {"name": node.id, "cat": node.flavour, "ph": "i", "s": "t", "ts": _us(node.started_s), "args": about}
    return {**event, "pid": _HOST, "tid": _HITS}


def _name(what: str, process: int, thread: int, name: str) -> TraceEvent:
    return {"name": what, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}


def _us(seconds: float) -> float:
    return round(seconds * _MICRO, 3)
