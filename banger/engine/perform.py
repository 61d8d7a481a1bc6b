"""Perform one node: build and record, ask, wait, apply with a lease, or undo."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import msgspec

from banger.engine.flights import Flight, Made
from banger.engine.observe import Observer
from banger.engine.remembered import Remembered, output_of
from banger.graph.build import RELEASE_PREFIX, Graph
from banger.host.clock import boot_id
from banger.model.action import Flavour, Node, Output, action_document
from banger.model.digest import Digest
from banger.model.errors import BangerError
from banger.plan import Plan
from banger.store.journal import InputValue, Lease
from banger.store.recorder import EVERY_S
from banger.store.state import State
from banger.tasks import (
    Build,
    Context,
    Effect,
    Gate,
    Progress,
    Query,
    input_types,
    output_type,
    refs_of,
    restore_task,
)

if TYPE_CHECKING:
    from banger.guest.agents import Agents

Report = Callable[[Progress], None]
Checkpoint = Callable[[str, str], None]
"""Called with (node, point) at every boundary of the crash protocol; tests kill the process there."""

_CLAIM_POLL_S = (0.002, 0.1)
"""How soon, and at last how seldom, it is tried to claim what another process makes."""


@dataclass(frozen=True, slots=True)
class Performed:
    """How a node ended. `reused`: it was there already."""

    output: Output
    reused: bool = False


class Performer:
    """Performs the nodes of one run."""

    def __init__(  # noqa: PLR0913 - everything that a node may need, passed once
        self,
        state: State,
        plan: Plan,
        graph: Graph,
        observer: Observer,
        remembered: Remembered,
        *,
        run_id: str,
        agents: "Callable[[], Agents]",
        checkpoint: Checkpoint,
        graceful: bool,
    ) -> None:
        self._state = state
        self._plan = plan
        self._graph = graph
        self._observer = observer
        self._remembered = remembered
        self._values = remembered.values
        self._run_id = run_id
        self._agents = agents
        self._checkpoint = checkpoint
        self._graceful = graceful
        self._flushing = False

    def accept(self, node: Node, output: Output) -> None:
        """Take in what a node put out, for those that need it."""
        self._remembered.accept(node, output)

    async def perform(self, node: Node, digest: Digest | None) -> Performed:
        """Run a node that is not a Build to its end. Raises what the task raises, DeadlineError included."""
        if node.action.flavour is Flavour.RELEASE:
            await self._release(node)
            return Performed(Output(None))
        assert digest is not None
        task = self._plan.tasks[node.id]
        await self._verify_inputs(node)
        match task:
            case Query():
                return await self._ask(node, task, digest)
            case Gate():
                with self._state.scratch.on_demand() as place:
                    return Performed(self._output(await task.wait(self._context(node, place))))
            case Effect():
                return await self._apply(node, task, digest)
            case _:
                raise AssertionError(f"{node.id} is of no known flavour")

    async def _verify_inputs(self, node: Node) -> None:
        """Read the big artifacts that were not verified in this boot, off the event loop. Raises DamagedError."""
        cas, outputs = self._state.cas, self._values.outputs
        for source in node.inputs.values():
            for artifact in outputs[source].artifacts:
                if not cas.is_verified(artifact):
                    await anyio.to_thread.run_sync(cas.path, artifact)

    async def build(self, node: Node, digest: Digest, flight: Flight) -> Made:
        """Make an artifact, unless another process has made it by the time that it is ours to make."""
        claims, recorder = self._state.claims, self._state.recorder
        if not claims.take(digest):
            await self._wait_for_claim(digest, flight)
            flight.ours()
        try:
            known = self._remembered.look_again(digest)
            if known is not None:
                return Made(known, reused=True)
            flight.started()
            before = self._remembered.replaced(digest)
            output, seconds = await self._make(node, flight)
            flight.made()
            if before is not None and before.digest != output.digest:
                self._observer.event("notice", text=f"{node.id} came out otherwise than before: it is not reproducible")
            document = action_document(node.action, self._input_digests(node))
            recorder.put(
                digest,
                document,
                output,
                label=node.label,
                run_id=self._run_id,
                seconds=seconds,
            )
            self._remembered.recorded(digest, output)
            self._flush_soon()
        finally:
            if digest not in recorder:  # otherwise the claim ends when the record is durable
                claims.give_back(digest)
        self._checkpoint(node.id, "recorded")
        return Made(output)

    def _flush_soon(self) -> None:
        """The last of a burst of Builds is on record soon, too, whatever long one comes after it."""
        if not self._flushing and len(self._state.recorder):
            self._flushing = True
            asyncio.get_running_loop().call_later(EVERY_S, self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if not self._state.claims.closed:
            with suppress(BangerError):  # they are kept; whoever writes them next is told, and it is the run at its end
                self._state.recorder.flush()

    async def _make(self, node: Node, flight: Flight) -> tuple[Output, float]:
        task = self._plan.tasks[node.id]
        assert isinstance(task, Build)
        await self._verify_inputs(node)
        with self._state.scratch.on_demand() as place:
            ctx = self._context(node, place, flight.progress)
            self._checkpoint(node.id, "started")
            before = self._observer.seconds()
            output = self._output(await task.build(ctx))
            self._checkpoint(node.id, "made")
            return output, self._observer.seconds() - before

    async def _wait_for_claim(self, digest: Digest, flight: Flight) -> None:
        flight.waiting("another process")
        self._state.recorder.flush()  # it may wait for something that we have made and not told
        pause, longest = _CLAIM_POLL_S
        while not self._state.claims.take(digest):
            await anyio.sleep(pause)
            pause = min(pause * 2, longest)

    async def _ask(self, node: Node, task: Query[Any], digest: Digest) -> Performed:
        try:
            with self._state.scratch.on_demand() as place:
                value = await task.ask(self._context(node, place))
        except BangerError as error:
            known, old = self._state.answers.get(digest, not_older_than_s=None)
            if not known or not task.ttl_s or self._remembered.forced(digest):
                raise
            self._observer.event("notice", text=f"{node.id}: {error.message}; going on with the earlier answer")
            return Performed(self._output(msgspec.convert(old, output_type(type(task)))), reused=True)
        output = self._output(value)
        if task.ttl_s:
            self._state.answers.put(digest, output.value)
        return Performed(output)

    async def _apply(self, node: Node, task: Effect[Any], digest: Digest) -> Performed:
        journal = self._state.journal
        lease_id = self.lease_id(node.id)
        with self._state.scratch.on_demand() as place:
            ctx = self._context(node, place)
            lease = journal.get(lease_id)
            if lease is not None:
                if await self._still_there(task, lease, digest, ctx):
                    return Performed(self._output(msgspec.convert(lease.value, output_type(type(task)))), True)
                await self._undo_lease(lease)
            self._checkpoint(node.id, "before-intent")
            self._state.recorder.flush()  # what the effect stands on is on record before the effect is
            journal.intend(self._lease(node, task, digest))
            self._checkpoint(node.id, "intended")
            value = await task.apply(ctx)
            self._checkpoint(node.id, "applied")
            output = self._output(value)
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
        inputs = {
            one.node: msgspec.convert(one.value, types[name.partition(".")[0]]) for name, one in lease.inputs.items()
        }
        value = None if lease.value is None else msgspec.convert(lease.value, output_type(type(task)))
        self._state.journal.releasing(lease.id)
        self._checkpoint(lease.node, "releasing")
        with self._state.scratch.on_demand() as place:
            ctx = Context(self._state, place, self._run_id, inputs, find_agents=self._agents, graceful=self._graceful)
            await task.undo(ctx, value)
        self._checkpoint(lease.node, "undone")
        self._state.journal.drop(lease.id)
        self._checkpoint(lease.node, "dropped")

    def lease_id(self, node: str) -> str:
        """Name of the lease of an effect of this run."""
        return f"{self._plan.vm_id or 'host'}/{node}"

    def _lease(self, node: Node, task: Effect[Any], digest: Digest) -> Lease:
        inputs = {
            name: InputValue(ref.node, msgspec.to_builtins(self._values[ref.node]))
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

    def _output(self, value: object) -> Output:
        return output_of(self._state, value)

    def _input_digests(self, node: Node) -> dict[str, Digest]:
        outputs = self._values.outputs
        return {name: outputs[source].digest for name, source in node.inputs.items()}

    def _context(self, node: Node, place: Callable[[], Path], report: Report | None = None) -> Context:
        inputs = {source: self._values[source] for source in node.inputs.values()}
        report = report or partial(self._observer.progress, node)
        return Context(self._state, place, self._run_id, inputs, report, self._agents)


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
