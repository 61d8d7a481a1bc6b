"""`banger plan`: what a plan would do, from the cache alone. Runs nothing, asks nobody, changes nothing."""

from dataclasses import replace

from banger.engine.known import look_up
from banger.graph.build import Graph
from banger.model.action import Flavour
from banger.model.views import PlanNodeView, PlanView
from banger.plan import Plan
from banger.store.state import State


def preview(state: State, plan: Plan) -> PlanView:
    """Look up every node whose key can be known before the run."""
    graph = plan.graph()
    expected = state.runs.typical_seconds()
    known = look_up(state, plan, graph)
    views = [
        PlanNodeView(
            id=node.id,
            kind=node.action.kind,
            flavour=str(node.action.flavour),
            label=node.label,
            cache=known.cache[node.id],
            digest=known.digests.get(node.id),
            last_s=state.runs.last_seconds(node.action.kind),
            expected_s=0.0 if known.cache[node.id] == "hit" else expected.get(node.action.kind),
            depends_on=list(graph.predecessors[node.id]),
        )
        for node in graph.nodes.values()
        if node.action.flavour is not Flavour.RELEASE
    ]
    return _mark_critical_path(graph, views)


def _mark_critical_path(graph: Graph, views: list[PlanNodeView]) -> PlanView:
    """Longest path by expected times; its length is the prediction, if every node on the graph has been timed."""
    by_id = {view.id: view for view in views}
    finish: dict[str, tuple[float, str | None]] = {}
    for view in views:
        before = [(finish[one][0], one) for one in graph.predecessors[view.id] if one in finish]
        start, binding = max(before, default=(0.0, None))
        finish[view.id] = (start + (view.expected_s or 0.0), binding)
    critical: set[str] = set()
    node = max(finish, key=lambda name: finish[name][0], default=None)
    total = finish[node][0] if node is not None else 0.0
    while node is not None:
        critical.add(node)
        node = finish[node][1]
    known = all(view.expected_s is not None for view in views)
    return PlanView(
        nodes=[_marked(view) if view.id in critical else view for view in by_id.values()],
        predicted_s=total if known else None,
    )


def _marked(view: PlanNodeView) -> PlanNodeView:
    return replace(view, on_critical_path=True)
