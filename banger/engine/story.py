"""Keep what explains a run: called once, when it ends."""

from collections.abc import Collection, Iterable, Mapping

from banger.graph.build import Graph
from banger.model.action import Flavour, Output, action_document
from banger.model.digest import Digest
from banger.model.story import ToldNode
from banger.store.runs import Hit, NodeRun
from banger.store.state import State

MOST_NODES = 2000
"""A run of more nodes keeps its times and no documents: it is no VM, and writing them would take longer than it."""
_ANSWERING = frozenset((Flavour.QUERY, Flavour.GATE))


def keep_story(
    state: State,
    run_id: str,
    graph: Graph,
    outputs: Mapping[str, Output],
    attempts: Iterable[NodeRun],
    hits: Iterable[Hit],
    again: Collection[str] = (),
) -> None:
    """Keep the graph of a run, and what each node that it came to was made from. `again`: those that were forced."""
    if len(graph.nodes) > MOST_NODES:
        return
    digests = {one.node: Digest(one.digest) for one in attempts if one.digest is not None}
    digests |= {node: Digest(digest) for node, _, _, _, digest in hits}
    made = {one.node for one in attempts if one.outcome == "done" and one.cache == "miss"}
    ran = {one.node for one in attempts}
    documents: dict[Digest, object] = {}
    sizes: dict[str, int] = {}
    nodes = []
    for node in graph.nodes.values():
        action, output = node.action, outputs.get(node.id)
        if action.flavour is Flavour.RELEASE and node.id not in ran:
            continue
        digest = digests.get(node.id)
        if digest is not None and all(source in outputs for source in node.inputs.values()):
            inputs = {name: outputs[source].digest for name, source in node.inputs.items()}
            documents[digest] = action_document(action, inputs)
        size = None
        if output is not None:
            size = sum(state.cas.size(one) for one in output.artifacts if state.cas.has(one))
            if action.flavour in _ANSWERING:
                documents[output.digest] = output.value
            if node.id in made and size:
                sizes[action.kind] = size
        needs = action.needs
        nodes.append(
            ToldNode(
                node.id,
                action.kind,
                str(action.flavour),
                node.label,
                dict(node.inputs),
                node.after,
                digest,
                None if output is None else output.digest,
                needs.pools,
                needs.network,
                needs.privileged,
                size,
                node.id in again,
            )
        )
    state.history.keep(run_id, nodes, documents, sizes)
