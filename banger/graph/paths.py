"""Longest paths: which node must start first, and which nodes a run really waited for."""

from collections.abc import Mapping, Sequence

from banger.graph.build import Graph

UNTIMED_S = 1.0
"""What a node is taken to last that never ran."""


def longest_paths(graph: Graph, weights: Mapping[str, float], numbers: Sequence[int] | None = None) -> list[float]:
    """Expected seconds from the start of each node, by number, to the end of the graph behind it.

    `weights`: expected seconds by node id or, failing that, by kind. `numbers`: the nodes that matter, ascending, with
    all that is behind them; 0 is told of the others.
    """
    nodes = list(graph.nodes.values())
    paths = [0.0] * len(nodes)
    for number in reversed(range(len(nodes)) if numbers is None else numbers):
        node = nodes[number]
        own = weights.get(node.id)
        if own is None:
            own = weights.get(node.action.kind, UNTIMED_S)
        paths[number] = own + max((paths[one] for one in graph.after[number]), default=0.0)
    return paths


def binding_path(ends: Mapping[str, float], bound_by: Mapping[str, str | None]) -> Sequence[str]:
    """The nodes that a run waited for, in order: from the last to end, back by what made each of them start.

    That is the predecessor that ended last or, if the node then had to wait for a pool, the node that gave it back.
    `ends`: when each node ended.
    """
    path: list[str] = []
    name = max(ends, key=lambda one: ends[one], default=None)
    while name is not None and name not in path:
        path.append(name)
        name = bound_by.get(name)
    return path[::-1]
