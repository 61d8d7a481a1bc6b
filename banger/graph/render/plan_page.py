"""A plan as a page: the graph from left to right, coloured by what would happen to each node."""

from collections.abc import Sequence
from itertools import pairwise

from banger.graph.render.collapse import collapse
from banger.graph.render.layout import BOX_HEIGHT, BOX_WIDTH, lay_out
from banger.graph.render.page import fit, node_box, page, picture
from banger.model.history import REASONS
from banger.model.views import PlanNodeView, PlanView
from banger.model.wording import name_of, seconds, short_digest, size

_MOST_NAMED = 6
"""Kinds that are named where it says that they never ran."""

LEGEND = (
    ("hit", "hit: in the cache"),
    ("miss", "miss: will be made"),
    ("unknown", "unknown: rests on what is not known before the run"),
    ("effect", "effect: live state, made each time"),
    ("gate", "gate: a wait"),
    ("critical", "critical path"),
)


def plan_page(plan: PlanView, title: str) -> str:
    """The whole document."""
    shown = collapse(plan)
    names = {node.id for node in shown.nodes}
    layout = lay_out({node.id: [one for one in node.depends_on if one in names] for node in shown.nodes})
    critical = {node.id for node in shown.nodes if node.on_critical_path}
    steps = set(critical_edges(shown))
    edges = [_edge(points, is_critical=edge in steps) for edge, points in layout.edges.items()]
    boxes = [
        node_box(
            *layout.boxes[node.id],
            BOX_WIDTH,
            BOX_HEIGHT,
            kind=node.cache,
            about=describe(node),
            lines=[fit(name_of(node.kind, node.label), BOX_WIDTH), fit(_second(node), BOX_WIDTH)],
            critical=node.id in critical,
        )
        for node in shown.nodes
    ]
    body = picture(layout.width, layout.height, [*edges, *boxes], "graph of the plan")
    return page(title, totals(plan), LEGEND, body)


def critical_edges(plan: PlanView) -> list[tuple[str, str]]:
    """From each node on the critical path to the next. (They need not be neighbours: one may wait for a pool.)"""
    path = sorted((node for node in plan.nodes if node.on_critical_path), key=lambda node: node.starts_s or 0.0)
    return [(one.id, other.id) for one, other in pairwise(path)]


def totals(plan: PlanView) -> list[str]:
    """The plan in two or three lines."""
    states = ("hit", "miss", "unknown", "effect", "gate")
    count = {state: sum(node.cache == state for node in plan.nodes) for state in states}
    lines = [", ".join(f"{number} {state}" for state, number in count.items() if number)]
    if plan.predicted_s is None:
        never = [node.kind for node in plan.nodes if node.expected_s is None]
        names = list(dict.fromkeys(never))
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        shown = ", ".join(names[:_MOST_NAMED])
        lines.append(f"predicted time: unknown, since these have never run here: {shown}{more}")
    else:
        lines.append(f"predicted time: about {seconds(plan.predicted_s)}, one after another {seconds(plan.serial_s)}")
    fetching = [node for node in plan.nodes if node.network and node.cache != "hit"]
    if fetching:
        amount = f"about {size(plan.network_bytes)}" if plan.network_bytes else "an unknown amount"
        more = f", and {', '.join(plan.network_unknown)}" if plan.network_unknown and plan.network_bytes else ""
        lines.append(f"network: {amount}{more}")
    privileged = [node.id for node in plan.nodes if node.privileged]
    lines.append(f"as root: {', '.join(privileged)}" if privileged else "as root: nothing")
    return lines


def describe(node: PlanNodeView) -> str:
    """All there is to say of a node, a line each."""
    lines = [f"{node.id}  ({node.kind}, {node.flavour})", f"state:   {node.cache}"]
    if node.reason:
        lines[1] += f": {node.reason}: {REASONS[node.reason.partition(':')[0]]}"
    if node.digest:
        lines.append(f"key:     {node.digest}")
    lines.append(f"time:    last {seconds(node.last_s)}, expected {seconds(node.expected_s)}")
    if node.size_bytes is not None:
        lines.append(f"size:    {size(node.size_bytes)}")
    traits = [*(f"pool {pool}" for pool in node.pools), *(["network"] * node.network), *(["root"] * node.privileged)]
    if traits:
        lines.append(f"needs:   {', '.join(traits)}")
    return "\n".join(lines)


def _second(node: PlanNodeView) -> str:
    parts: list[str] = [node.cache]
    if node.cache == "hit":
        parts.append(short_digest(node.digest))
    elif node.expected_s:
        parts.append(f"about {seconds(node.expected_s)}")
    if node.size_bytes is not None:
        parts.append(size(node.size_bytes))
    return ", ".join(parts)


def _edge(points: Sequence[tuple[float, float]], *, is_critical: bool) -> str:
    x, y = points[0]
    path = [f"M{x:.1f},{y:.1f}"]
    for number, (next_x, next_y) in enumerate(points[1:]):
        if number % 2:  # through a layer, straight on
            path.append(f"L{next_x:.1f},{next_y:.1f}")
        else:
            bend = (x + next_x) / 2
            path.append(f"C{bend:.1f},{y:.1f} {bend:.1f},{next_y:.1f} {next_x:.1f},{next_y:.1f}")
        x, y = next_x, next_y
    return f'<path class="edge{" critical" if is_critical else ""}" d="{" ".join(path)}"/>'
