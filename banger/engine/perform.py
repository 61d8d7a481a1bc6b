"""Perform one node: build and remember, ask, wait, apply with a lease, or undo."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import msgspec

from banger.engine.flights import Flights
from banger.engine.observe import Observer
from banger.graph.build import RELEASE_PREFIX, Graph
from banger.guest.agents import Agents
from banger.host.clock import boot_id
from banger.model.action import Flavour, Node, Output, action_document
from banger.model.digest import Digest
from banger.model.errors import BangerError, StoreError
from banger.plan import Plan
from banger.store.journal import InputValue, Lease
from banger.store.state import State
from banger.tasks import (
    Build,
    Context,
    Effect,
    Gate,
    Progress,
    Query,
    Task,
    artifacts_in,
    input_types,
    output_type,
    read_tree,
    refs_of,
    restore_task,
    trees_in,
)

Checkpoint = Callable[[str, str], None]
"""Called with (node, point) at every boundary of the crash protocol; tests kill the process there."""


@dataclass(frozen=True, slots=True)
class Performed:
    """How a node ended. `reused`: it was there already."""

    output: Output
    reused: bool = False


class Performer:
    """Performs the nodes of one run, and holds the decoded values that they pass on."""

    def __init__(  # noqa: PLR0913 - everything that a node may need, passed once
        self,
        state: State,
        plan: Plan,
        graph: Graph,
        observer: Observer,
        *,
        run_id: str,
        flights: Flights,
        agents: Agents,
        checkpoint: Checkpoint,
        graceful: bool,
    ) -> None:
        self._state = state
        self._plan = plan
        self._graph = graph
        self._observer = observer
        self._run_id = run_id
        self._flights = flights
        self._agents = agents
        self._checkpoint = checkpoint
        self._graceful = graceful
        self._digests: dict[str, Digest] = {}
        self.values: dict[str, Any] = {}

    def lookup(self, node: Node, digest: Digest) -> Output | None:
        """The remembered output of a Build or Query."""
        task = self._plan.tasks[node.id]
        if isinstance(task, Query):
            known, value = self._state.answers.get(digest, not_older_than_s=task.ttl_s)
            output = self._output(task, msgspec.convert(value, output_type(type(task)))) if known else None
            if output and not all(self._state.cas.has(artifact) for artifact in output.artifacts):
                output = None
        else:
            output = self._state.actions.get(digest)
        if output is not None:
            self.accept(node, output)
        return output

    def accept(self, node: Node, output: Output) -> None:
        """Take an output in, for those that need it. A release puts out nothing."""
        if node.action.flavour is Flavour.RELEASE:
            return
        self._digests[node.id] = output.digest
        self.values[node.id] = msgspec.convert(output.value, output_type(type(self._plan.tasks[node.id])))

    async def perform(self, node: Node, digest: Digest | None) -> Performed:
        """Run the node to its end. Raises what the task raises, DeadlineError included."""
        if node.action.flavour is Flavour.RELEASE:
            await self._release(node)
            return Performed(Output(None))
        assert digest is not None
        task = self._plan.tasks[node.id]
        await self._verify_inputs(task)
        match task:
            case Build():
                return await self._build(node, task, digest)
            case Query():
                return await self._ask(node, task, digest)
            case Gate():
                with self._context(node, task) as ctx:
                    return Performed(self._output(task, await task.wait(ctx)))
            case Effect():
                return await self._apply(node, task, digest)
            case _:
                raise AssertionError(f"{node.id} is of no known flavour")

    async def _verify_inputs(self, task: Task[Any]) -> None:
        """Read the big artifacts that were not verified in this boot, off the event loop. Raises DamagedError."""
        for ref in refs_of(task).values():
            for file in artifacts_in(self.values[ref.node]):
                if not self._state.cas.is_verified(file.digest):
                    await anyio.to_thread.run_sync(self._state.cas.path, file.digest)

    async def _build(self, node: Node, task: Build[Any], digest: Digest) -> Performed:
        while landed := self._flights.under_way(digest):
            self._observer.waiting(node)
            await landed.wait()
            output = self._state.actions.get(digest)
            if output is not None:
                return Performed(output, reused=True)
        with self._flights.fly(digest), self._context(node, task) as ctx:
            self._checkpoint(node.id, "started")
            before = self._observer.seconds()
            output = self._output(task, await task.build(ctx))
            self._checkpoint(node.id, "made")
            self._state.actions.put(
                digest,
                action_document(node.action, self._input_digests(node)),
                output,
                label=node.label,
                run_id=self._run_id,
                seconds=self._observer.seconds() - before,
            )
            self._checkpoint(node.id, "recorded")
        return Performed(output)

    async def _ask(self, node: Node, task: Query[Any], digest: Digest) -> Performed:
        try:
            with self._context(node, task) as ctx:
                value = await task.ask(ctx)
        except BangerError as error:
            known, old = self._state.answers.get(digest, not_older_than_s=None)
            if not known or not task.ttl_s:
                raise
            self._observer.event("notice", text=f"{node.id}: {error.message}; going on with the earlier answer")
            return Performed(self._output(task, msgspec.convert(old, output_type(type(task)))), reused=True)
        output = self._output(task, value)
        if task.ttl_s:
            self._state.answers.put(digest, output.value)
        return Performed(output)

    async def _apply(self, node: Node, task: Effect[Any], digest: Digest) -> Performed:
        journal = self._state.journal
        lease_id = self.lease_id(node.id)
        with self._context(node, task) as ctx:
            lease = journal.get(lease_id)
            if lease is not None:
                if await self._still_there(task, lease, digest, ctx):
                    return Performed(self._output(task, msgspec.convert(lease.value, output_type(type(task)))), True)
                await self._undo_lease(lease)
            self._checkpoint(node.id, "before-intent")
            journal.intend(self._lease(node, task, digest))
            self._checkpoint(node.id, "intended")
            value = await task.apply(ctx)
            self._checkpoint(node.id, "applied")
            output = self._output(task, value)
            journal.hold(lease_id, output.value)
            self._checkpoint(node.id, "held")
        return Performed(output)

    async def _still_there(self, task: Effect[Any], lease: Lease, digest: Digest, ctx: Context) -> bool:
        if lease.state != "held" or lease.digest != digest or lease.run_id is not None:
            return False
        value = msgspec.convert(lease.value, output_type(type(task)))
        return await task.probe(ctx, value)

    async def _release(self, node: Node) -> None:
        lease = self._state.journal.get(self.lease_id(node.id.removeprefix(RELEASE_PREFIX)))
        if lease is not None:
            await self._undo_lease(lease)

    async def _undo_lease(self, lease: Lease) -> None:
        """Undo with what the lease itself remembers, whoever made it."""
        task = restore_task(lease.kind, lease.params, {name: one.node for name, one in lease.inputs.items()})
        assert isinstance(task, Effect), f"{lease.kind} is not an effect"
        types = input_types(type(task))
        inputs = {one.node: msgspec.convert(one.value, types[name]) for name, one in lease.inputs.items()}
        value = None if lease.value is None else msgspec.convert(lease.value, output_type(type(task)))
        self._state.journal.releasing(lease.id)
        self._checkpoint(lease.node, "releasing")
        with self._state.scratch.directory() as scratch:
            ctx = Context(self._state, scratch, self._run_id, inputs, agents=self._agents, graceful=self._graceful)
            await task.undo(ctx, value)
        self._checkpoint(lease.node, "undone")
        self._state.journal.drop(lease.id)
        self._checkpoint(lease.node, "dropped")

    def lease_id(self, node: str) -> str:
        """Name of the lease of an effect of this run."""
        return f"{self._plan.vm_id or 'host'}/{node}"

    def _lease(self, node: Node, task: Effect[Any], digest: Digest) -> Lease:
        inputs = {
            name: InputValue(ref.node, msgspec.to_builtins(self.values[ref.node]))
            for name, ref in refs_of(task).items()
        }
        return Lease(
            id=self.lease_id(node.id),
            vm_id=self._plan.vm_id,
            run_id=self._run_id,
            node=node.id,
            scope=node.action.scope,
            kind=node.action.kind,
            version=node.action.version,
            digest=digest,
            params=dict(node.action.params),
            inputs=inputs,
            depends_on=tuple(self.lease_id(one) for one in effects_below(self._graph, node.id)),
            boot_id=boot_id(),
        )

    def _output(self, task: Task[Any], value: object) -> Output:
        files = [*artifacts_in(value)]
        for tree in trees_in(value):
            try:
                files.extend(read_tree(self._state, tree).values())
            except StoreError:  # a remembered answer whose tree was collected: `lookup` sees the listing missing
                break
        artifacts = tuple(sorted({file.digest for file in files}))
        return Output(value=msgspec.to_builtins(value), artifacts=artifacts)

    def _input_digests(self, node: Node) -> Mapping[str, Digest]:
        return {name: self._digests[source] for name, source in node.inputs.items()}

    @contextmanager
    def _context(self, node: Node, task: Task[Any]) -> Iterator[Context]:
        inputs = {ref.node: self.values[ref.node] for ref in refs_of(task).values()}

        def report(progress: Progress) -> None:
            self._observer.progress(node, progress)

        with self._state.scratch.directory() as scratch:
            yield Context(self._state, scratch, self._run_id, inputs, report, self._agents)


def effects_below(graph: Graph, node: str) -> list[str]:
    """The nearest effects that a node stands on, seen through gates and queries."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    stack = list(graph.predecessors[node])
    while stack:
        name = stack.pop()
        if name in seen:
            continue
        seen.add(name)
        flavour = graph.nodes[name].action.flavour
        if flavour is Flavour.EFFECT:
            found[name] = None
        elif flavour is not Flavour.BUILD:
            stack.extend(graph.predecessors[name])
    return sorted(found)
