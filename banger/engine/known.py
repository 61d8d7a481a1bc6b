"""What is known of a plan before it runs: outputs in the caches, and the digests that follow from them.

Looked up by the very code that a run looks up with, so that plan and run cannot differ.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from banger.engine.remembered import Remembered
from banger.graph.build import Graph
from banger.model.action import Flavour, Node, Output, action_digest
from banger.model.digest import Digest
from banger.model.views import CacheState
from banger.plan import Plan
from banger.store.state import State


@dataclass(slots=True)
class Known:
    """By node: `digests` of actions whose inputs are all known, `outputs` that are cached."""

    digests: dict[str, Digest] = field(default_factory=dict)
    outputs: dict[str, Output] = field(default_factory=dict)
    cache: dict[str, CacheState] = field(default_factory=dict)


def look_up(state: State, plan: Plan, graph: Graph, again: Collection[str] = ()) -> Known:
    """Look up every node whose key can be known before the run. Runs nothing, asks nobody, changes nothing.

    `again`: nodes that the run would run though their results are remembered.
    """
    known = Known()
    remembered = Remembered(state, plan, graph, again)
    for node in graph.nodes.values():
        if node.action.flavour is Flavour.RELEASE:
            continue
        if all(source in known.outputs for source in node.inputs.values()):
            inputs = {name: known.outputs[source].digest for name, source in node.inputs.items()}
            known.digests[node.id] = action_digest(node.action, inputs)
        known.cache[node.id] = _look(remembered, node, known)
    return known


def _look(remembered: Remembered, node: Node, known: Known) -> CacheState:
    if node.action.flavour is Flavour.EFFECT:
        return "effect"
    if node.action.flavour is Flavour.GATE:
        return "gate"
    digest = known.digests.get(node.id)
    if digest is None:
        return "unknown"
    output = remembered.lookup(node, digest)
    if output is None:
        return "miss"
    known.outputs[node.id] = output
    return "hit"
