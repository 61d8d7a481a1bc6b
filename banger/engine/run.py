"""Run a plan: its graph, with times and events, and with the journal handed over when it has succeeded."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from banger.engine.decide import Decider
from banger.engine.observe import Emit, Observer
from banger.engine.remembered import Remembered
from banger.engine.sharing import Sharing
from banger.engine.story import keep_story
from banger.graph.build import RELEASE_PREFIX, Graph, build_graph
from banger.graph.pools import Pools
from banger.graph.scheduler import Scheduler
from banger.graph.states import State as NodeState
from banger.host.memory import total_memory_mib
from banger.model.action import MEMORY, Action, Flavour, Node
from banger.model.errors import ActionError, BangerError, ConflictError, SpecError
from banger.plan import Plan
from banger.store.journal import Lease
from banger.store.state import State
from banger.tasks import find_task

if TYPE_CHECKING:
    from banger.engine.driver import Driver
    from banger.engine.flights import Flights
    from banger.engine.perform import Checkpoint
    from banger.guest.agents import Agents


def default_capacities() -> dict[str, int]:
    """Pools of this host: `cpu` cores, `net` transfers, `disk` heavy writers, `vmm` launches, `apt` its one root,
    `worker` requests to the root worker.

    `memory_mib` is all the memory there is: what VMs that run already have of it is not known to be used.
    """
    cores = os.cpu_count() or 1
    return {"cpu": cores, "net": 8, "disk": 2, "vmm": 4, "apt": 1, "worker": 4, MEMORY: total_memory_mib()}


def _no_checkpoint(_node: str, _point: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Engine:
    """Runs plans against one state directory. The runs share its pools, and each Build is made once for all of them."""

    state: State
    capacities: Mapping[str, int] = field(default_factory=default_capacities)
    checkpoint: "Checkpoint" = _no_checkpoint
    connections: "Agents | None" = None
    """To guests' agents, if somebody keeps them open beyond a run."""

    @cached_property
    def agents(self) -> "Agents":
        """Connections to guests' agents."""
        from banger.guest.agents import Agents

        return self.connections or Agents()

    @cached_property
    def sharing(self) -> Sharing:
        """The pools of all runs."""
        return Sharing(Pools(self.capacities))

    @cached_property
    def flights(self) -> "Flights":
        """The Builds under way."""
        from banger.engine.flights import Flights

        return Flights()

    async def run(
        self, plan: Plan, emit: Emit | None, *, keep_going: bool = False, again: Collection[str] = ()
    ) -> Mapping[str, Any]:
        """Run a plan and return what each node put out.

        If it fails, everything it began is undone, and the first error is raised with the others as its notes;
        cancellation is raised after everything is undone. Raises SpecError before anything is done if a node asks for
        more than there is. `keep_going`: after a failure, run what does not depend on it.
        `again`: Builds and Queries that are to run though their results are remembered.
        """
        run = Run(self, plan, self._check(plan.graph()), emit, keep_going=keep_going, again=again)
        with run.on_record():
            if not run.decider.begin():
                await run.driver().run()
        return run.result()

    def run_blocking(self, plan: Plan, emit: Emit | None, *, keep_going: bool = False) -> "Run":
        """The same for who has no event loop; there is none either unless something must really run."""
        run = Run(self, plan, self._check(plan.graph()), emit, keep_going=keep_going)
        with run.on_record():
            if not run.decider.begin():
                import anyio

                anyio.run(run.driver().run)
        run.result()
        return run

    async def release(
        self, what: str, vm_id: str | None, leases: Iterable[Lease], emit: Emit, *, graceful: bool
    ) -> None:
        """Undo leases, in reverse of the order in which they stand on each other. Raises the first error."""
        leases = list(leases)
        with self.state.database.transaction():  # all or none: a crash in the middle is finished by recovery
            for lease in leases:
                self.state.journal.releasing(lease.id)
        run = Run(self, Plan(what, vm_id), release_graph(leases), emit, graceful=graceful)
        with run.on_record():
            if not run.decider.begin():
                await run.driver().run()
        if run.failures:
            raise _error_of(run.failures)

    def refuse_what_cannot_fit(self, graph: Graph) -> None:
        """Raises SpecError if a node asks for more than this host has in all: it would wait for ever."""
        pools = self.sharing.pools
        too_much = {
            claim for claim in {node.action.needs.pools for node in graph.nodes.values()} if pools.refusal(claim)
        }
        for node in graph.nodes.values() if too_much else ():
            claim = node.action.needs.pools
            if claim in too_much:
                hint = "ask for less with --memory" if MEMORY in dict(claim) else None
                raise SpecError(f"{node.id}: {pools.refusal(claim)}", hint=hint)

    def _check(self, graph: Graph) -> Graph:
        self.refuse_what_cannot_fit(graph)
        if graph.release_of and not self.state.is_owner:
            raise ConflictError("only the daemon changes the host; this process is a guest in its state directory")
        return graph


class Run:
    """One run of one graph: who decides, who performs, and what is kept of it."""

    def __init__(
        self,
        engine: Engine,
        plan: Plan,
        graph: Graph,
        emit: Emit | None,
        *,
        keep_going: bool = False,
        graceful: bool = False,
        again: Collection[str] = (),
    ) -> None:
        self.id = os.urandom(16).hex()
        self._engine = engine
        self._plan = plan
        self._graph = graph
        self._graceful = graceful
        self._expected = engine.state.runs.typical_seconds()
        self.observer = Observer(graph, engine.state.clock, emit)
        self._again = again
        self.remembered = Remembered(engine.state, plan, graph, again)
        scheduler = Scheduler(graph, engine.sharing.pools, weights=self._expected, keep_going=keep_going)
        self.decider = Decider(scheduler, self.remembered, self.observer)
        self.failures: list[tuple[str, BaseException]] = []

    def driver(self) -> "Driver":
        """Who performs what must really run. (Only now are the libraries needed that can wait.)"""
        from banger.engine.driver import Driver
        from banger.engine.perform import Performer

        engine = self._engine
        performer = Performer(
            engine.state,
            self._plan,
            self._graph,
            self.observer,
            self.remembered,
            run_id=self.id,
            agents=lambda: engine.agents,
            checkpoint=engine.checkpoint,
            graceful=self._graceful,
        )
        who = f"{self._plan.what} {self._plan.vm_id or self.id}"
        return Driver(who, self.decider, performer, self.observer, engine.flights, engine.sharing, self.failures)

    @contextmanager
    def on_record(self) -> Iterator[None]:
        """Keep the record of the run that the block is, however it ends; hand its leases over if it succeeds."""
        state, observer = self._engine.state, self.observer
        state.runs.begin(self.id, self._plan.what, self._plan.vm_id)
        observer.plan(self._expected)
        with state.cas.uses.operation():  # what is looked up or put from here on is not collected meanwhile
            try:
                yield
            finally:  # also when cancelled: it may have succeeded just before
                self._conclude()
        observer.event("summary", run_id=self.id, cached=observer.cached, ran=observer.ran, seconds=observer.seconds())

    def _conclude(self) -> None:
        state, observer = self._engine.state, self.observer
        self._engine.checkpoint("run", "concluded")
        conclusion = self.decider.conclusion
        state.recorder.flush()
        with state.database.transaction("run"):
            if conclusion is not None and conclusion.keep:
                state.journal.hand_over(self.id)
            if self.remembered.used:
                state.actions.touch(self.remembered.used)
            how = "succeeded" if conclusion is not None and conclusion.succeeded else "failed"
            state.runs.end(self.id, how, observer.seconds(), observer.records, observer.hits)
            outputs = self.remembered.values.outputs
            keep_story(state, self.id, self._graph, outputs, observer.records, observer.hits, self._again)
        self._engine.checkpoint("run", "handed-over")

    def result(self) -> Mapping[str, Any]:
        """What each node put out. Raises the first error, with the others as its notes."""
        conclusion = self.decider.conclusion
        assert conclusion is not None, "the run is not at its end"
        if not conclusion.succeeded:
            self._add_unstartable()
            raise _error_of(self.failures)
        return self.remembered.values

    def _add_unstartable(self) -> None:
        """Nodes that failed without having run."""
        scheduler = self.decider.scheduler
        told = {node for node, _ in self.failures}
        for node in self._graph.nodes:
            if node not in told and scheduler.state(node) is NodeState.FAILED:
                self.failures.append((node, ActionError(f"{node}: {scheduler.because(node)}")))


def release_graph(leases: Iterable[Lease]) -> Graph:
    """A graph that undoes leases and does nothing else: users first, and what lives shorter first.

    The second rule is for a VM that was started again: its session stands on disks that an earlier run made.
    """
    by_id = {lease.id: lease for lease in leases}
    users = {
        below.id: [lease.id for lease in by_id.values() if below.id in lease.depends_on or lease.scope < below.scope]
        for below in by_id.values()
    }
    return build_graph(
        Node(
            id=RELEASE_PREFIX + lease.node,
            action=Action(
                kind=lease.kind,
                version=lease.version,
                flavour=Flavour.RELEASE,
                params={},
                needs=find_task(lease.kind).needs,
                deadline_s=find_task(lease.kind).deadline_s,
                retries=2,
            ),
            after=tuple(RELEASE_PREFIX + by_id[user].node for user in users[lease.id]),
        )
        for lease in by_id.values()
    )


def _error_of(failures: list[tuple[str, BaseException]]) -> BangerError:
    """The error that a user should see: the first, with the rest as notes."""
    node, first = failures[0]
    error = first if isinstance(first, BangerError) else ActionError(f"{node}: {type(first).__name__}: {first}")
    if error is not first:
        error.__cause__ = first
    error.node = node
    for other_node, other in failures[1:]:
        error.add_note(f"{other_node}: {other}")
    return error
