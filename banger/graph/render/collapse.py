"""A graph of hundreds of nodes, made small enough to be looked at: nodes of one kind at one depth become one."""

from dataclasses import replace

from banger.model.views import CacheState, PlanNodeView, PlanView

MOST_NODES = 200
_WORST: tuple[CacheState, ...] = ("miss", "unknown", "effect", "gate", "hit")


def collapse(plan: PlanView, most: int = MOST_NODES) -> PlanView:
    """The plan itself if it is small. Groups by depth as well as kind, so that what comes out has no cycle."""
    if len(plan.nodes) <= most:
        return plan
    level = depths(plan)
    groups: dict[tuple[int, str], list[PlanNodeView]] = {}
    for node in plan.nodes:
        groups.setdefault((level[node.id], node.kind), []).append(node)
    name = {node.id: _name(key, nodes) for key, nodes in groups.items() for node in nodes}
    return replace(plan, nodes=[_merged(_name(key, nodes), nodes, name) for key, nodes in groups.items()])


def depths(plan: PlanView) -> dict[str, int]:
    """How many nodes lie before each on the longest way to it. The plan is in topological order."""
    level: dict[str, int] = {}
    for node in plan.nodes:
        level[node.id] = max((level[one] + 1 for one in node.depends_on if one in level), default=0)
    return level


def _name(key: tuple[int, str], nodes: list[PlanNodeView]) -> str:
    return nodes[0].id if len(nodes) == 1 else f"{key[1]} ({key[0]})"


def _merged(name: str, nodes: list[PlanNodeView], names: dict[str, str]) -> PlanNodeView:
    first = nodes[0]
    if len(nodes) == 1:
        return replace(first, depends_on=_renamed(nodes, names))
    sizes = [node.size_bytes for node in nodes if node.size_bytes is not None]
    return replace(
        first,
        id=name,
        label=f"x {len(nodes)}",
        cache=min((node.cache for node in nodes), key=_WORST.index),
        digest=None,
        last_s=None,
        expected_s=sum(node.expected_s or 0.0 for node in nodes),
        on_critical_path=any(node.on_critical_path for node in nodes),
        depends_on=_renamed(nodes, names),
        size_bytes=sum(sizes) if sizes else None,
    )


def _renamed(nodes: list[PlanNodeView], names: dict[str, str]) -> list[str]:
    return list(dict.fromkeys(names[one] for node in nodes for one in node.depends_on if one in names))
