"""`banger plan`: what a plan would do, from the cache alone. Runs nothing, asks nobody, changes nothing."""

from collections.abc import Collection, Mapping

from banger.engine.expect import expect
from banger.engine.known import Known, look_up
from banger.engine.tell import story_of
from banger.graph.explain import Story, reason_of
from banger.graph.paths import binding_path
from banger.graph.predict import Prediction, predict
from banger.model.action import Flavour, Node, action_document
from banger.model.story import Recorded, ToldNode
from banger.model.views import PlanNodeView, PlanView
from banger.plan import Plan
from banger.store.state import State


def preview(state: State, plan: Plan, capacities: Mapping[str, int], again: Collection[str] = ()) -> PlanView:
    """Look up every node whose key can be known before the run, and run the rest on paper.

    `again`: nodes that the run would run though their results are remembered.
    """
    graph = plan.graph()
    known = look_up(state, plan, graph, again)
    sizes = state.history.sizes()
    nodes = [node for node in graph.nodes.values() if node.action.flavour is not Flavour.RELEASE]
    hits = {name for name, cache in known.cache.items() if cache == "hit"}
    times = expect(state, plan.what, graph, nodes)
    expected = {name: seconds for name, seconds in times.typical.items() if name not in hits}
    foreseen = predict(graph, capacities, expected, hits)
    critical = set(binding_path(foreseen.ends, foreseen.bound_by))
    reasons = _reasons(state, plan, nodes, known, again)
    views = [
        PlanNodeView(
            id=node.id,
            kind=node.action.kind,
            flavour=str(node.action.flavour),
            label=node.label,
            cache=known.cache[node.id],
            digest=known.digests.get(node.id),
            last_s=times.last.get(node.id),
            expected_s=0.0 if node.id in hits else expected.get(node.id),
            on_critical_path=node.id in critical,
            depends_on=list(graph.predecessors[node.id]),
            reason=reasons.get(node.id),
            starts_s=foreseen.starts.get(node.id),
            size_bytes=_size(state, known, node, sizes),
            pools=[pool for pool, _ in node.action.needs.pools],
            network=node.action.needs.network,
            privileged=node.action.needs.privileged,
        )
        for node in nodes
    ]
    return _summed(views, foreseen)


def _summed(views: list[PlanNodeView], foreseen: Prediction) -> PlanView:
    fetching = [view for view in views if view.network and view.cache != "hit"]
    return PlanView(
        nodes=views,
        predicted_s=foreseen.seconds if all(view.expected_s is not None for view in views) else None,
        serial_s=sum(view.expected_s or 0.0 for view in views),
        network_bytes=sum(view.size_bytes or 0 for view in fetching),
        network_unknown=[view.id for view in fetching if view.size_bytes is None],
    )


def _size(state: State, known: Known, node: Node, sizes: Mapping[str, int]) -> int | None:
    """Bytes of the artifacts that the node puts out: as they are there or, failing that, as they were last time."""
    output = known.outputs.get(node.id)
    if output is None:
        return sizes.get(node.action.kind)
    return sum(state.cas.size(one) for one in output.artifacts) if output.artifacts else None


def _reasons(state: State, plan: Plan, nodes: list[Node], known: Known, again: Collection[str]) -> dict[str, str]:
    """Why each node would run, as far as it is known: against the newest run of the same sort."""
    newest = state.history.runs(1, plan.what)
    before: Story = story_of(state, newest[0].id) if newest else {}
    after = {node.id: _foretold(node, known, forced=node.id in again) for node in nodes}
    reasons = {name: reason_of(name, before, after) for name in after if known.cache[name] != "unknown"}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _foretold(node: Node, known: Known, *, forced: bool) -> Recorded:
    cache, output, document = known.cache[node.id], known.outputs.get(node.id), None
    if node.id in known.digests:
        document = action_document(
            node.action, {name: known.outputs[source].digest for name, source in node.inputs.items()}
        )
    told = ToldNode(
        node.id,
        node.action.kind,
        str(node.action.flavour),
        node.label,
        dict(node.inputs),
        node.after,
        known.digests.get(node.id),
        None if output is None else output.digest,
        (),
        network=False,
        privileged=False,
        size_bytes=None,
        forced=forced,
    )
    return Recorded(told, cache, "done", document, None if output is None else output.value)
