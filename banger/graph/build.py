"""Turn nodes into a frozen graph: every edge known, no cycle, and a release node for every effect."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from banger.model.action import Action, Flavour, Node, Scope

RELEASE_PREFIX = "release:"
RELEASE_RETRIES = 2


class GraphError(AssertionError):
    """The nodes do not make a graph: a bug in banger, never in what the user asked for."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in a topological order that depends on nothing but the nodes themselves."""

    nodes: Mapping[str, Node]
    predecessors: Mapping[str, tuple[str, ...]]
    successors: Mapping[str, tuple[str, ...]]
    release_of: Mapping[str, str]
    """The release node of each effect."""


def build_graph(nodes: Iterable[Node]) -> Graph:
    """Check the nodes, add release nodes and order them. Raises GraphError."""
    by_id: dict[str, Node] = {}
    for node in nodes:
        if by_id.setdefault(node.id, node) != node:
            raise GraphError(f"two different nodes are called {node.id}")
    order = _topological_order(by_id)
    _check_lifetimes(by_id, order)
    releases = _release_nodes(by_id, order)
    complete = by_id | {node.id: node for node in releases.values()}
    order = _topological_order(complete)
    predecessors = {name: _edges(complete[name]) for name in order}
    return Graph(
        nodes={name: complete[name] for name in order},
        predecessors=predecessors,
        successors=_successors(predecessors),
        release_of={effect: node.id for effect, node in releases.items()},
    )


def _edges(node: Node) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*node.inputs.values(), *node.after)))


def _successors(predecessors: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    result: dict[str, list[str]] = {name: [] for name in predecessors}
    for name, before in predecessors.items():
        for one in before:
            result[one].append(name)
    return {name: tuple(after) for name, after in result.items()}


def _topological_order(nodes: Mapping[str, Node]) -> list[str]:
    """Kahn's algorithm, first come first served, so that the order is that of the plan wherever edges allow."""
    missing: dict[str, int] = {}
    successors: dict[str, list[str]] = {name: [] for name in nodes}
    for name, node in nodes.items():
        edges = _edges(node)
        missing[name] = len(edges)
        for before in edges:
            if before not in nodes:
                raise GraphError(f"{name} needs {before}, which is not in the graph")
            successors[before].append(name)
    order = [name for name, count in missing.items() if count == 0]
    for name in order:
        for after in successors[name]:
            missing[after] -= 1
            if missing[after] == 0:
                order.append(after)
    if len(order) != len(nodes):
        raise GraphError("cycle: " + " -> ".join(find_cycle(nodes)))
    return order


def find_cycle(nodes: Mapping[str, Node]) -> list[str]:
    """Name one cycle, its first node repeated at the end."""
    import networkx as nx  # slow to import, and needed for nothing else here

    graph = nx.DiGraph((before, name) for name, node in nodes.items() for before in _edges(node))
    edges = nx.find_cycle(graph)
    return [edge[0] for edge in edges] + [edges[0][0]]


def _check_lifetimes(nodes: Mapping[str, Node], order: list[str]) -> None:
    """An effect must not outlive what it stands on. (A build does not stand on its inputs once it is made.)"""
    shortest: dict[str, Scope] = {}
    for name in order:
        node = nodes[name]
        ground = min((shortest[before] for before in _edges(node)), default=Scope.HOST)
        if node.action.flavour is Flavour.EFFECT:
            if node.action.scope > ground:
                raise GraphError(f"{name} is held longer than an effect that it needs")
            ground = node.action.scope
        shortest[name] = Scope.HOST if node.action.flavour is Flavour.BUILD else ground


def _release_nodes(nodes: Mapping[str, Node], order: list[str]) -> dict[str, Node]:
    """Make the release node of each effect: after all that uses the effect, and after the releases of *those*.

    `tails` carries what stands on a node: a gate hands on what stands on it, and itself; an effect only its release,
    which waits for the rest; a build only itself, since its artifact stands on its own once it is made.
    """
    successors = _successors({name: _edges(nodes[name]) for name in nodes})
    tails: dict[str, frozenset[str]] = {}
    releases: dict[str, Node] = {}
    for name in reversed(order):
        node = nodes[name]
        behind = frozenset[str]().union(*(tails[user] for user in successors[name]))
        if node.action.flavour is not Flavour.EFFECT:
            tails[name] = frozenset((name,)) if node.action.flavour is Flavour.BUILD else behind | {name}
            continue
        release = RELEASE_PREFIX + name
        tails[name] = frozenset((release,))
        action = node.action
        releases[name] = Node(
            id=release,
            action=Action(
                kind=action.kind,
                version=action.version,
                flavour=Flavour.RELEASE,
                params={},
                needs=action.needs,
                scope=action.scope,
                retries=RELEASE_RETRIES,
            ),
            after=tuple(dict.fromkeys((name, *successors[name], *sorted(behind)))),
            label=node.label,
        )
    return {name: releases[name] for name in order if name in releases}
