"""What the nodes of a run have put out, and the action digests that follow from it."""

from collections.abc import Mapping

from banger.graph.build import Graph
from banger.model.action import Node, Output, action_digest
from banger.model.digest import Digest


class Identity:
    """By number; `outputs` is None for a node that has put nothing out yet."""

    def __init__(self, graph: Graph, numbers: Mapping[str, int]) -> None:
        self._nodes: list[Node] = list(graph.nodes.values())
        self._before = graph.before
        self._numbers = numbers
        self._digests: list[Digest | None] = [None] * len(self._nodes)
        self.outputs: list[Output | None] = [None] * len(self._nodes)

    def digest(self, number: int) -> Digest:
        """The action digest of a node all of whose inputs are known."""
        known = self._digests[number]
        if known is not None:
            return known
        node, outputs, sources = self._nodes[number], self.outputs, self._before[number]
        if len(sources) != len(node.inputs):  # some only order, or are two inputs at once
            sources = [self._numbers[source] for source in node.inputs.values()]
        inputs: dict[str, Digest] = {}
        for name, source in zip(node.inputs, sources, strict=True):
            output = outputs[source]
            assert output is not None, f"{node.id} was unblocked before {node.inputs[name]} put anything out"
            inputs[name] = output.digest
        digest = self._digests[number] = action_digest(node.action, inputs)
        return digest
