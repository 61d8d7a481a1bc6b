"""Run a plan: its graph, with times and events, and with the journal handed over when it has succeeded."""

import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from banger.engine.driver import Driver, Outcome
from banger.engine.flights import Flights
from banger.engine.observe import Emit, Observer
from banger.engine.perform import Checkpoint, Performer
from banger.graph.build import RELEASE_PREFIX, Graph, build_graph
from banger.graph.scheduler import Scheduler
from banger.guest.agents import Agents
from banger.model.action import Action, Flavour, Node
from banger.model.errors import ActionError, BangerError
from banger.plan import Plan
from banger.store.journal import Lease
from banger.store.state import State
from banger.tasks import find_task


def default_capacities() -> dict[str, int]:
    """Pools of this host: `cpu` cores, `net` transfers, `disk` heavy writers, `vmm` launches, `apt` its one root."""
    cores = os.cpu_count() or 1
    return {"cpu": cores, "net": 8, "disk": 2, "vmm": 4, "apt": 1}


def _no_checkpoint(_node: str, _point: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Runs plans against one state directory."""

    state: State
    capacities: Mapping[str, int] = field(default_factory=default_capacities)
    flights: Flights = field(default_factory=Flights)
    checkpoint: Checkpoint = _no_checkpoint
    agents: Agents = field(default_factory=Agents)

    async def run(self, plan: Plan, emit: Emit) -> Mapping[str, Any]:
        """Run a plan and return what each node put out.

        If it fails, everything it began is undone, and the first error is raised with the others as its notes;
        cancellation is raised after everything is undone.
        """
        outcome = await self._run(plan, plan.graph(), emit, graceful=False)
        if not outcome.succeeded:
            raise _error_of(outcome)
        return outcome.values

    async def release(
        self, what: str, vm_id: str | None, leases: Iterable[Lease], emit: Emit, *, graceful: bool
    ) -> None:
        """Undo leases, in reverse of the order in which they stand on each other. Raises the first error."""
        leases = list(leases)
        with self.state.database.transaction():  # all or none: a crash in the middle is finished by recovery
            for lease in leases:
                self.state.journal.releasing(lease.id)
        graph = release_graph(leases)
        outcome = await self._run(Plan(what, vm_id), graph, emit, graceful=graceful)
        if outcome.failures:
            raise _error_of(outcome)

    async def _run(self, plan: Plan, graph: Graph, emit: Emit, *, graceful: bool) -> Outcome:
        state = self.state
        run_id = uuid.uuid4().hex
        expected = state.runs.typical_seconds()
        weights = {node.id: expected.get(node.action.kind, 1.0) for node in graph.nodes.values()}
        observer = Observer(graph, state.clock, emit)
        scheduler = Scheduler(graph, self.capacities, weights=weights)
        performer = Performer(
            state,
            plan,
            graph,
            observer,
            run_id=run_id,
            flights=self.flights,
            agents=self.agents,
            checkpoint=self.checkpoint,
            graceful=graceful,
        )
        state.runs.begin(run_id, plan.what, plan.vm_id)
        observer.plan(expected)
        driver = Driver(graph, scheduler, performer, observer)
        try:
            with state.cas.uses.operation():  # what is looked up or put from here on is not collected meanwhile
                outcome = await driver.run()
        finally:  # also when cancelled: it may have succeeded just before
            self.checkpoint("run", "concluded")
            with state.database.transaction():
                if driver.outcome.keep:
                    state.journal.hand_over(run_id)
                state.actions.touch([one.digest for one in observer.records if one.digest and one.cache == "hit"])
                how = "succeeded" if driver.outcome.succeeded else "failed"
                state.runs.end(run_id, how, observer.seconds(), observer.records)
            self.checkpoint("run", "handed-over")
        observer.event("summary", run_id=run_id, cached=observer.cached, ran=observer.ran, seconds=observer.seconds())
        return outcome


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


def _error_of(outcome: Outcome) -> BangerError:
    """The error that a user should see: the first, with the rest as notes."""
    node, first = outcome.failures[0]
    error = first if isinstance(first, BangerError) else ActionError(f"{node}: {type(first).__name__}: {first}")
    if error is not first:
        error.__cause__ = first
    for other_node, other in outcome.failures[1:]:
        error.add_note(f"{other_node}: {other}")
    return error
