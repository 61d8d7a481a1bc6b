"""What the user wants, as tasks in a graph."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from banger.graph.build import Graph, build_graph
from banger.model.action import Node
from banger.tasks import Ref, Task, action_and_inputs

T = TypeVar("T")


@dataclass(slots=True)
class Plan:
    """Tasks by node id, in the order in which they are shown."""

    what: str
    vm_id: str | None = None
    tasks: dict[str, Task[Any]] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def add(
        self,
        task: Task[T],
        *,
        node: str | None = None,
        after: Iterable[Ref[Any] | None] = (),
        label: str = "",
    ) -> Ref[T]:
        """Add a task; its node is called after its kind unless told otherwise. `after` orders and is no input."""
        name = node or task.kind
        assert name not in self.tasks, f"two nodes are called {name}"
        self.tasks[name] = task
        action, inputs = action_and_inputs(task)
        before = tuple(ref.node for ref in after if ref is not None) if after else ()
        self.nodes.append(Node(name, action, inputs, before, label))
        return Ref(name)

    def graph(self) -> Graph:
        """The frozen graph, with its release nodes. Raises GraphError."""
        return build_graph(self.nodes)
