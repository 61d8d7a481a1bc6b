"""Plans for Graphviz (https://graphviz.org/doc/info/lang.html) and Mermaid (https://mermaid.js.org, "Flowcharts")."""

from banger.graph.render.collapse import collapse
from banger.graph.render.plan_page import critical_edges
from banger.model.views import PlanNodeView, PlanView
from banger.model.wording import name_of, seconds

COLOURS = {"hit": "#cfe8d5", "miss": "#f6d5b8", "unknown": "#f3e6b3", "effect": "#cfdff5", "gate": "#e3d8f0"}
_INK = "#1b1f24"
_SHAPES = {"effect": "octagon", "gate": "diamond", "query": "ellipse"}


def dot(plan: PlanView) -> str:
    """Every node, edges from what is needed to what needs it; the critical path is bold."""
    lines = [
        "digraph plan {",
        "  rankdir=LR;",
        f'  node [shape=box, style=filled, fontname="sans-serif", color="{_INK}"];',
    ]
    critical = {node.id for node in plan.nodes if node.on_critical_path}
    steps = set(critical_edges(plan))
    for node in plan.nodes:
        shape = _SHAPES.get(node.flavour, "box")
        width = ", penwidth=3" if node.id in critical else ""
        text = "\\n".join(_dot_text(line) for line in _caption(node))
        lines.append(f'  {_quoted(node.id)} [label="{text}", shape={shape}, fillcolor="{COLOURS[node.cache]}"{width}];')
    for node in plan.nodes:
        for before in node.depends_on:
            bold = " [penwidth=3]" if (before, node.id) in steps else ""
            lines.append(f"  {_quoted(before)} -> {_quoted(node.id)}{bold};")
    return "\n".join([*lines, "}"]) + "\n"


def mermaid(plan: PlanView) -> str:
    """The same as a flow chart. Repeated kinds become one node each where there are more than 200 nodes."""
    plan = collapse(plan)
    number = {node.id: f"n{place}" for place, node in enumerate(plan.nodes)}
    lines = ["flowchart LR"]
    for node in plan.nodes:
        text = "<br/>".join(_mermaid_text(line) for line in _caption(node))
        mark = "_critical" if node.on_critical_path else ""
        lines.append(f'  {number[node.id]}["{text}"]:::{node.cache}{mark}')
    lines += [
        f"  {number[before]} --> {number[node.id]}"
        for node in plan.nodes
        for before in node.depends_on
        if before in number
    ]
    for state, colour in COLOURS.items():
        lines.append(f"  classDef {state} fill:{colour},stroke:{_INK},color:{_INK}")
        lines.append(f"  classDef {state}_critical fill:{colour},stroke:{_INK},color:{_INK},stroke-width:4px")
    return "\n".join(lines) + "\n"


def _caption(node: PlanNodeView) -> list[str]:
    time = f", about {seconds(node.expected_s)}" if node.expected_s else ""
    return [name_of(node.kind, node.label), f"{node.cache}{time}"]


def _quoted(text: str) -> str:
    return f'"{_dot_text(text)}"'


def _dot_text(text: str) -> str:
    return _printable(text).replace("\\", "\\\\").replace('"', '\\"')


def _mermaid_text(text: str) -> str:
    # Mermaid knows entities by number, written without the ampersand.
    return "".join(char if char.isalnum() or char in " .,:/-_()+@~" else f"#{ord(char)};" for char in _printable(text))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
