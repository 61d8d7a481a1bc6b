"""What a run knows without running anything: remembered outputs, and the values of nodes, made when asked for."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from banger.graph.build import Graph
from banger.model.action import Flavour, Node, Output
from banger.model.digest import Digest
from banger.model.errors import StoreError
from banger.plan import Plan
from banger.store.actions import USE_RESOLUTION_S, Row
from banger.store.state import State
from banger.tasks import Query, Task, artifacts_in, output_type, read_tree, trees_in

_BUILD, _RELEASE = Flavour.BUILD, Flavour.RELEASE  # naming a member of an enum is slow in Python 3.11
_PLAIN = frozenset((str, int, bool, type(None)))
_MANY = 64
"""From how many Builds on the action cache is read in one go."""


class Values(Mapping[str, Any]):
    """What each node put out, as the type that its task says. Most values of a run that does nothing are never made."""

    def __init__(self, tasks: Mapping[str, Task[Any]]) -> None:
        self._tasks = tasks
        self._made: dict[str, Any] = {}
        self.outputs: dict[str, Output] = {}

    def __getitem__(self, node: str) -> Any:  # noqa: ANN401 - a value of any task
        """Raises KeyError for a node that has not put anything out."""
        try:
            return self._made[node]
        except KeyError:
            made = msgspec.convert(self.outputs[node].value, output_type(type(self._tasks[node])))
            self._made[node] = made
            return made

    def __iter__(self) -> Iterator[str]:
        """Nodes that have put something out, in the order in which they did."""
        return iter(self.outputs)

    def __len__(self) -> int:
        """How many have."""
        return len(self.outputs)


class Remembered:
    """Lookups of one run."""

    def __init__(self, state: State, plan: Plan, graph: Graph, again: Collection[str] = ()) -> None:
        """`again`: nodes that are to run though their results are remembered."""
        self._state = state
        self._plan = plan
        self._again = again
        self._forced: set[Digest] = set()
        self.values = Values(plan.tasks)
        self.used: list[Digest] = []
        """Records whose last use is to be noted."""
        builds = sum(node.action.flavour is _BUILD for node in graph.nodes.values())
        self._mark = state.recorder.mark()
        self._own: dict[Digest, Output] = {}
        self._loaded = state.actions.load(builds) if builds >= _MANY else None
        self._output_of = state.actions.output_of
        self._recent = state.clock.wall() - USE_RESOLUTION_S

    def lookup(self, node: Node, digest: Digest) -> Output | None:
        """The remembered output of a Build or Query."""
        if node.id in self._again:
            self._forced.add(digest)
            return None
        if node.action.flavour is not _BUILD:
            output = self._answer(node, digest)
        elif self._loaded is None:
            output = self._ask(digest)
        else:
            row = self._loaded.get(digest)
            # What others have recorded meanwhile is seen by `look_again`.
            output = self._own.get(digest) if row is None else self._read(row)
        if output is not None:
            self.values.outputs[node.id] = output
        return output

    def accept(self, node: Node, output: Output) -> None:
        """Take an output in, for those that need it. A release puts out nothing."""
        if node.action.flavour is not _RELEASE:
            self.values.outputs[node.id] = output

    def look_again(self, digest: Digest) -> Output | None:
        """The remembered output of a Build that is claimed now, and so is nobody else's to make."""
        if digest in self._forced:
            return None
        return self._state.recorder.get(digest) if self._news() else self._own.get(digest)

    def forced(self, digest: Digest) -> bool:
        """Whether it is to run though its result is remembered."""
        return digest in self._forced

    def replaced(self, digest: Digest) -> Output | None:
        """What is remembered of a Build that is forced, and so will be replaced."""
        return self._state.recorder.get(digest) if digest in self._forced else None

    def recorded(self, digest: Digest, output: Output) -> None:
        """This run has put a record."""
        self._own[digest] = output

    def _news(self) -> bool:
        """Whether anybody but this run has recorded anything since the run began."""
        version, puts = self._state.recorder.mark()
        return (version, puts - len(self._own)) != self._mark

    def _ask(self, digest: Digest) -> Output | None:
        output = self._state.recorder.get(digest)
        if output is not None:
            self.used.append(digest)
        return output

    def _read(self, row: Row) -> Output | None:
        if row[-1] < self._recent:
            self.used.append(row[0])
        return self._output_of(row)

    def _answer(self, node: Node, digest: Digest) -> Output | None:
        task = self._plan.tasks[node.id]
        assert isinstance(task, Query)
        known, value = self._state.answers.get(digest, not_older_than_s=task.ttl_s)
        if not known:
            return None
        output = output_of(self._state, msgspec.convert(value, output_type(type(task))))
        return self._state.actions.if_whole(output)


def output_of(state: State, value: object) -> Output:
    """What a task put out, with every artifact that it speaks of."""
    if type(value) in _PLAIN:
        return Output(value)  # type: ignore[arg-type]
    files = [*artifacts_in(value)]
    for tree in trees_in(value):
        try:
            files.extend(read_tree(state, tree).values())
        except StoreError:  # a remembered answer whose tree was collected: a lookup sees the listing missing
            break
    artifacts = tuple(sorted({file.digest for file in files}))
    return Output(msgspec.to_builtins(value), artifacts)
