"""`banger plan`: what a plan would do, from the cache alone. Runs nothing, asks nobody, changes nothing."""

from dataclasses import replace
from typing import cast

from banger.graph.build import Graph
from banger.model.action import Flavour, Output, action_digest
from banger.model.digest import Canonical, Digest
from banger.model.views import CacheState, PlanNodeView, PlanView
from banger.plan import Plan
from banger.store.state import State
from banger.tasks import Query


def preview(state: State, plan: Plan) -> PlanView:
    """Look up every node whose key can be known before the run."""
    graph = plan.graph()
    expected = state.runs.typical_seconds()
    outputs: dict[str, Digest] = {}
    views: list[PlanNodeView] = []
    ordinary = [node for node in graph.nodes.values() if node.action.flavour is not Flavour.RELEASE]
    for node in ordinary:
        digest = None
        if all(source in outputs for source in node.inputs.values()):
            inputs = {name: outputs[source] for name, source in node.inputs.items()}
            digest = action_digest(node.action, inputs)
        cache, output = _look(state, plan, node.id, digest)
        if output is not None:
            outputs[node.id] = output.digest
        views.append(
            PlanNodeView(
                id=node.id,
                kind=node.action.kind,
                flavour=str(node.action.flavour),
                label=node.label,
                cache=cache,
                digest=digest,
                last_s=state.runs.last_seconds(node.action.kind),
                expected_s=0.0 if cache == "hit" else expected.get(node.action.kind),
                depends_on=list(graph.predecessors[node.id]),
            )
        )
    return _mark_critical_path(graph, views)


def _look(state: State, plan: Plan, node: str, digest: Digest | None) -> tuple[CacheState, Output | None]:
    task = plan.tasks[node]
    if task.flavour is Flavour.EFFECT:
        return "effect", None
    if task.flavour is Flavour.GATE:
        return "gate", None
    if digest is None:
        return "unknown", None
    if isinstance(task, Query):
        known, value = state.answers.get(digest, not_older_than_s=task.ttl_s)
        return ("hit", Output(cast("Canonical", value))) if known else ("miss", None)
    output = state.actions.get(digest)
    return ("hit", output) if output is not None else ("miss", None)


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
