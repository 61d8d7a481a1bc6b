"""What is known of a plan before it runs: outputs in the caches, and the digests that follow from them."""

from dataclasses import dataclass, field

import msgspec

from banger.engine.remembered import output_of
from banger.graph.build import Graph
from banger.model.action import Flavour, Node, Output, action_digest
from banger.model.digest import Digest
from banger.model.views import CacheState
from banger.plan import Plan
from banger.store.state import State
from banger.tasks import Query, output_type


@dataclass(slots=True)
class Known:
    """By node: `digests` of actions whose inputs are all known, `outputs` that are cached."""

    digests: dict[str, Digest] = field(default_factory=dict)
    outputs: dict[str, Output] = field(default_factory=dict)
    cache: dict[str, CacheState] = field(default_factory=dict)


def look_up(state: State, plan: Plan, graph: Graph) -> Known:
    """Look up every node whose key can be known before the run. Runs nothing, asks nobody, changes nothing."""
    known = Known()
    for node in graph.nodes.values():
        if node.action.flavour is Flavour.RELEASE:
            continue
        if all(source in known.outputs for source in node.inputs.values()):
            inputs = {name: known.outputs[source].digest for name, source in node.inputs.items()}
            known.digests[node.id] = action_digest(node.action, inputs)
        known.cache[node.id] = _look(state, plan, node, known)
    return known


def _look(state: State, plan: Plan, node: Node, known: Known) -> CacheState:
    if node.action.flavour is Flavour.EFFECT:
        return "effect"
    if node.action.flavour is Flavour.GATE:
        return "gate"
    digest = known.digests.get(node.id)
    if digest is None:
        return "unknown"
    task = plan.tasks[node.id]
    if isinstance(task, Query):
        is_known, value = state.answers.get(digest, not_older_than_s=task.ttl_s)
        output = output_of(state, msgspec.convert(value, output_type(type(task)))) if is_known else None
        if output is not None and not all(state.cas.has(artifact) for artifact in output.artifacts):
            output = None
    else:
        output = state.recorder.get(digest)
    if output is None:
        return "miss"
    known.outputs[node.id] = output
    return "hit"
