"""Runs as a page: a bar for each node on a line of time, with the guest's boot below."""

from collections.abc import Sequence
from html import escape

from banger.graph.render.lanes import lanes, pack
from banger.graph.render.page import fit, node_box, page, picture
from banger.graph.timeline import critical_path
from banger.model.history import RunNodeView, RunView, SpanView
from banger.model.wording import name_of, seconds, size

LEGEND = (
    ("miss", "built or asked"),
    ("hit", "was there already"),
    ("effect", "effect"),
    ("gate", "gate: a wait"),
    ("span", "stage of the guest's boot, by its own clock"),
    ("critical", "critical path"),
)
_WIDTH = 1200.0
_LEFT = 110.0
_ROW = 30.0
_TICKS = 8
_NARROWEST_PX = 70.0
"""Nothing can be said in less."""


def run_page(views: Sequence[RunView], title: str) -> str:
    """The whole document: one picture for each run."""
    bodies = [f"<h2>{escape(_heading(view))}</h2>{_picture(view)}" for view in views]
    return page(title, [], LEGEND, "".join(bodies))


def _heading(view: RunView) -> str:
    run = view.run
    return f"{run.what}, {run.mode}: {seconds(run.seconds)}, {run.cached} cached, {run.ran} ran (run {run.id[:12]})"


def _picture(view: RunView) -> str:
    wall_s = max(view.run.seconds or 0.0, *(node.published_s for node in view.nodes), 0.001)
    scale = _WIDTH / wall_s
    critical = {(step.node, step.attempt) for step in critical_path(view)}
    parts: list[str] = []
    y = 30.0
    for name, row in lanes(view.nodes):
        parts.append(_row_name(name, y))
        parts += [_bar(node, scale, y, is_critical=(node.id, node.attempt) in critical) for node in row]
        y += _ROW
    for number, spans in enumerate(pack((span.start_s, span.end_s, span) for span in view.spans)):
        parts.append(_row_name("guest" if number == 0 else "", y))
        parts += [_span(span, scale, y) for span in spans]
        y += _ROW
    return picture(_LEFT + _WIDTH + 30, y + 10, [*_grid(wall_s, scale, y), *parts], "timeline of the run")


def _grid(wall_s: float, scale: float, bottom: float) -> list[str]:
    lines = []
    for tick in range(_TICKS + 1):
        at_s = wall_s * tick / _TICKS
        x = _LEFT + at_s * scale
        lines.append(f'<line class="grid" x1="{x:.1f}" y1="22" x2="{x:.1f}" y2="{bottom:.1f}"/>')
        lines.append(f'<text class="faint" x="{x:.1f}" y="16" text-anchor="middle">{at_s:.2f}</text>')
    return lines


def _row_name(name: str, y: float) -> str:
    return f'<text class="faint" x="8" y="{y + 17:.1f}">{escape(fit(name, _LEFT))}</text>'


def _bar(node: RunNodeView, scale: float, y: float, *, is_critical: bool) -> str:
    width = max((node.published_s - node.claimed_s) * scale, 2.0)
    kind = "hit" if node.cache == "hit" else {"effect": "effect", "gate": "gate", "release": "none"}.get(node.flavour)
    name = name_of(node.kind, node.label)
    waits = (
        f"waited {seconds(node.claimed_s - node.ready_s)} for pools, {seconds(node.started_s - node.claimed_s)} to "
        f"start, {seconds(node.published_s - node.finished_s)} to be recorded"
    )
    took = f"from {node.started_s:.3f} to {node.finished_s:.3f}: {seconds(node.finished_s - node.started_s)}"
    about = [f"{node.id}  ({name}, {node.flavour}, {node.cache})", f"{took}; {waits}"]
    about.append(f"waited for: {node.bound_by or 'nothing'}")
    if node.digest:
        about.append(f"key: {node.digest}" + (f", {size(node.size_bytes)}" if node.size_bytes else ""))
    return node_box(
        _LEFT + node.claimed_s * scale,
        y,
        width,
        _ROW - 6,
        kind=kind or "miss",
        about="\n".join(about),
        lines=_fitting(node.id, width),
        critical=is_critical,
    )


def _span(span: SpanView, scale: float, y: float) -> str:
    width = max((span.end_s - span.start_s) * scale, 2.0)
    about = f"{span.name}\nfrom {span.start_s:.3f} to {span.end_s:.3f}: {seconds(span.end_s - span.start_s)}"
    x = _LEFT + span.start_s * scale
    return node_box(x, y, width, _ROW - 6, kind="span", about=about, lines=_fitting(span.name, width), critical=False)


def _fitting(text: str, width: float) -> list[str]:
    return [fit(text, width)] if width >= _NARROWEST_PX else []
