"""Turn nodes into a frozen graph: every edge known, no cycle, and a release node for every effect."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import msgspec

from banger.model.action import Action, Flavour, Node, Scope

RELEASE_PREFIX = "release:"
RELEASE_RETRIES = 2


_EFFECT = Flavour.EFFECT


class GraphError(AssertionError):
    """The nodes do not make a graph: a bug in banger, never in what the user asked for."""


class Graph(msgspec.Struct, frozen=True, eq=False, dict=True):
    """Nodes in a topological order that depends on nothing but the nodes themselves: their own, wherever it is one.

    Edges are kept by number, a node's place in `nodes`: a graph of 10,000 nodes is made by every run, and most runs
    have nothing to do. `predecessors` and `successors` are the same edges for people, made when they are asked for.
    """

    nodes: Mapping[str, Node]
    before: Sequence[Sequence[int]]
    after: Sequence[Sequence[int]]
    release_of: Mapping[str, str]
    """The release node of each effect."""

    @cached_property
    def predecessors(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the nodes that each node waits for."""
        return self._by_name(self.before)

    @cached_property
    def successors(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the nodes that wait for each node."""
        return self._by_name(self.after)

    def _by_name(self, edges: Sequence[Sequence[int]]) -> dict[str, tuple[str, ...]]:
        names = list(self.nodes)
        return {name: tuple(names[one] for one in ends) for name, ends in zip(names, edges, strict=True)}


def build_graph(nodes: Iterable[Node]) -> Graph:
    """Check the nodes, add release nodes and order them. Raises GraphError."""
    by_id: dict[str, Node] = {}
    for node in nodes:
        if by_id.setdefault(node.id, node) is not node and by_id[node.id] != node:
            raise GraphError(f"two different nodes are called {node.id}")
    before, sorted_already = _edges_by_number(by_id)
    if not sorted_already:
        by_id = {name: by_id[name] for name in _topological_order(by_id, before)}
        before, _ = _edges_by_number(by_id)
    after = _turned_around(before)
    releases: dict[str, Node] = {}
    if any(node.action.flavour is _EFFECT for node in by_id.values()):
        ordinary = list(by_id.values())
        _check_lifetimes(ordinary, before)
        releases = _release_nodes(ordinary, after)
        by_id |= {node.id: node for node in releases.values()}  # users before what they use: in order as well
        before, _ = _edges_by_number(by_id)
        after = _turned_around(before)
    return Graph(by_id, before, after, {effect: node.id for effect, node in releases.items()})


def _edges_by_number(nodes: Mapping[str, Node]) -> tuple[list[Sequence[int]], bool]:
    """The numbers of the nodes before each node, and whether all of them are smaller than its own."""
    number = {name: place for place, name in enumerate(nodes)}
    before: list[Sequence[int]] = []
    in_order = True
    for place, node in enumerate(nodes.values()):
        try:
            edges = [number[name] for name in node.inputs.values()]
            if node.after:
                edges += [number[name] for name in node.after]
        except KeyError as error:
            raise GraphError(f"{node.id} needs {error.args[0]}, which is not in the graph") from None
        if len(set(edges)) != len(edges):
            edges = list(dict.fromkeys(edges))
        if in_order and edges and max(edges) >= place:
            in_order = False
        before.append(edges)
    return before, in_order


def _turned_around(before: Sequence[Sequence[int]]) -> list[list[int]]:
    after: list[list[int]] = [[] for _ in before]
    for place, edges in enumerate(before):
        for one in edges:
            after[one].append(place)
    return after


def _topological_order(nodes: Mapping[str, Node], before: Sequence[Sequence[int]]) -> list[str]:
    """Kahn's algorithm, first come first served."""
    names = list(nodes)
    after = _turned_around(before)
    missing = [len(edges) for edges in before]
    order = [place for place, count in enumerate(missing) if count == 0]
    for place in order:
        for one in after[place]:
            missing[one] -= 1
            if missing[one] == 0:
                order.append(one)
    if len(order) != len(names):
        raise GraphError("cycle: " + " -> ".join(find_cycle(nodes)))
    return [names[place] for place in order]


def find_cycle(nodes: Mapping[str, Node]) -> list[str]:
    """Name one cycle, its first node repeated at the end."""
    import networkx as nx  # slow to import, and needed for nothing else here

    before = {name: (*node.inputs.values(), *node.after) for name, node in nodes.items()}
    edges = nx.find_cycle(nx.DiGraph((one, name) for name, ends in before.items() for one in ends))
    return [edge[0] for edge in edges] + [edges[0][0]]


def _check_lifetimes(nodes: Sequence[Node], before: Sequence[Sequence[int]]) -> None:
    """An effect must not outlive what it stands on. (A build does not stand on its inputs once it is made.)"""
    shortest: list[Scope] = []
    for place, node in enumerate(nodes):
        ground = min((shortest[one] for one in before[place]), default=Scope.HOST)
        if node.action.flavour is Flavour.EFFECT:
            if node.action.scope > ground:
                raise GraphError(f"{node.id} is held longer than an effect that it needs")
            ground = node.action.scope
        shortest.append(Scope.HOST if node.action.flavour is Flavour.BUILD else ground)


def _release_nodes(nodes: Sequence[Node], after: Sequence[Sequence[int]]) -> dict[str, Node]:
    """Make the release node of each effect: after all that uses the effect, and after the releases of *those*.

    `tails` carries what stands on a node: a gate hands on what stands on it, and itself; an effect only its release,
    which waits for the rest; a build only itself, since its artifact stands on its own once it is made.
    """
    tails: list[frozenset[str]] = [frozenset()] * len(nodes)
    releases: dict[str, Node] = {}
    for place in range(len(nodes) - 1, -1, -1):
        node = nodes[place]
        if node.action.flavour is Flavour.BUILD:
            tails[place] = frozenset((node.id,))
            continue
        behind = frozenset[str]().union(*(tails[user] for user in after[place]))
        if node.action.flavour is not Flavour.EFFECT:
            tails[place] = behind | {node.id}
            continue
        release = RELEASE_PREFIX + node.id
        tails[place] = frozenset((release,))
        users = (nodes[user].id for user in after[place])
        releases[node.id] = Node(
            id=release,
            action=_release_of(node.action),
            after=tuple(dict.fromkeys((node.id, *users, *sorted(behind)))),
            label=node.label,
        )
    return releases


def _release_of(action: Action) -> Action:
    return Action(
        kind=action.kind,
        version=action.version,
        flavour=Flavour.RELEASE,
        params={},
        needs=action.needs.to_undo(),
        scope=action.scope,
        retries=RELEASE_RETRIES,
    )
