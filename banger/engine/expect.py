"""How long each node of a plan is expected to take, from how long it took.

A kind can take seconds after one thing and milliseconds after another: a guest's agent answers late after a boot and at
once after a restore. So what counts is how long the same node took after the same nodes; the kind alone only where that
never ran.
"""

from collections.abc import Iterable, Mapping
from statistics import median

import msgspec

from banger.graph.build import Graph
from banger.model.action import Node
from banger.store.state import State

_RUNS = 40
_TIMES = 20

Place = tuple[str, frozenset[str]]
"""A node by its id, and what it waits for."""


class Expected(msgspec.Struct, frozen=True):
    """Seconds by node; a node that never ran is in neither. `typical`: median, `last`: the newest."""

    typical: dict[str, float]
    last: dict[str, float]


def expect(state: State, what: str, graph: Graph, nodes: Iterable[Node]) -> Expected:
    """Look at the newest runs of the same sort."""
    times = _times_by_place(state, what)
    by_kind = state.runs.typical_seconds()
    typical: dict[str, float] = {}
    last: dict[str, float] = {}
    for node in nodes:
        kind = node.action.kind
        known = times.get((node.id, frozenset(graph.predecessors[node.id])), [])[:_TIMES]
        newest = known[0] if known else state.runs.last_seconds(kind)
        if newest is not None:
            last[node.id] = newest
            typical[node.id] = median(known) if known else by_kind[kind]
    return Expected(typical, last)


def _times_by_place(state: State, what: str) -> Mapping[Place, list[float]]:
    """Every execution that succeeded, the newest first."""
    found: dict[Place, list[float]] = {}
    for run in state.history.runs(_RUNS, what):
        places = {node.id: (node.id, frozenset(node.depends_on())) for node in state.history.graph(run.id)}
        for one in state.history.times(run.id):
            if one.outcome == "done" and one.cache != "hit" and one.node in places:
                found.setdefault(places[one.node], []).append(one.finished_s - one.started_s)
    return found
