"""The driver: carries events into the scheduler and commands out of it, until the run is at its end.

Lookups are answered in a plain loop; only what must really run becomes a task. The loop is shielded: a cancelled run
is aborted, which undoes what it began, and only then does the cancellation go on.
"""

import math
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.abc
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from banger.engine.observe import Observer
from banger.engine.perform import Performer
from banger.graph.build import Graph
from banger.graph.events import (
    Abort,
    Begin,
    Conclude,
    Event,
    Execute,
    Failed,
    Finished,
    LookedUp,
    Lookup,
    RetryDue,
    RetryLater,
    Stop,
    Stopped,
)
from banger.graph.scheduler import Scheduler
from banger.graph.states import State
from banger.model.action import Flavour
from banger.model.errors import ActionError, BangerError, DeadlineError, TransientError
from banger.model.progress import NodeState

_BACKOFF_FIRST_S = 0.5
_BACKOFF_MOST_S = 30.0


@dataclass(slots=True)
class Outcome:
    """How a run ended: `failures` are (node, error) in the order in which they happened."""

    succeeded: bool = False
    keep: bool = False
    failures: list[tuple[str, BaseException]] = field(default_factory=list)
    values: Mapping[str, Any] = field(default_factory=dict)


class Driver:
    """One run."""

    def __init__(self, graph: Graph, scheduler: Scheduler, performer: Performer, observer: Observer) -> None:
        self._graph = graph
        self._scheduler = scheduler
        self._performer = performer
        self._observer = observer
        self._scopes: dict[str, anyio.CancelScope] = {}
        self.outcome = Outcome(values=performer.values)
        self._send: MemoryObjectSendStream[Event]
        self._receive: MemoryObjectReceiveStream[Event]
        self._send, self._receive = anyio.create_memory_object_stream(math.inf)
        self._ended = anyio.Event()

    async def run(self) -> Outcome:
        """Run the graph to its end. On cancellation: abort, undo, and then be cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._shielded)
            try:
                await self._ended.wait()
            except anyio.get_cancelled_exc_class():
                if not self._ended.is_set():
                    self._send.send_nowait(Abort("cancelled"))
                with anyio.CancelScope(shield=True):
                    await self._ended.wait()
                raise
        return self.outcome

    async def _shielded(self) -> None:
        try:
            with anyio.CancelScope(shield=True), self._send, self._receive:
                async with anyio.create_task_group() as workers:
                    await self._loop(workers)
        finally:
            self._ended.set()

    async def _loop(self, workers: anyio.abc.TaskGroup) -> None:
        events: deque[Event] = deque((Begin(),))
        while True:
            while events:
                for command in self._scheduler.handle(events.popleft()):
                    if isinstance(command, Conclude):
                        self.outcome.succeeded, self.outcome.keep = command.succeeded, command.keep
                        self._add_unstartable()
                        workers.cancel_scope.cancel()  # timers of retries that are not wanted any more
                        return
                    self._obey(command, events, workers)
            events.append(await self._receive.receive())

    def _add_unstartable(self) -> None:
        """Nodes that failed without having run: they ask for more than there is."""
        told = {node for node, _ in self.outcome.failures}
        for node in self._graph.nodes:
            if self._scheduler.state(node) is State.FAILED and node not in told:
                error = ActionError(f"{node}: {self._scheduler.because(node)}")
                self.outcome.failures.append((node, error))

    def _obey(
        self, command: Lookup | Execute | Stop | RetryLater, events: deque[Event], workers: anyio.abc.TaskGroup
    ) -> None:
        match command:
            case Lookup():
                node = self._graph.nodes[command.node]
                output = self._performer.lookup(node, command.digest)
                if output is not None:
                    self._observer.hit(node, command.digest)
                events.append(LookedUp(command.node, output))
            case Execute():
                self._scopes[command.node] = anyio.CancelScope()
                workers.start_soon(self._execute, command)
            case Stop():
                self._scopes[command.node].cancel()
            case RetryLater():
                workers.start_soon(self._retry_later, command)

    async def _execute(self, command: Execute) -> None:
        """Run one node and report; whatever it raises is an event, never the end of the loop."""
        node = self._graph.nodes[command.node]
        self._observer.started(node)
        with self._scopes[node.id] as scope:
            try:
                with anyio.fail_after(node.action.deadline_s):
                    performed = await self._performer.perform(node, command.digest)
            except TimeoutError as error:
                late = DeadlineError(f"{node.id}: not done after {node.action.deadline_s} s")
                late.__cause__ = error
                self._failed(command, late)
            except Exception as error:  # noqa: BLE001 - a bug in one task must not keep the others from being undone
                self._failed(command, error)
            else:
                self._performer.accept(node, performed.output)
                state: NodeState = "hit" if performed.reused else "done"
                if node.action.flavour is Flavour.RELEASE:
                    state = "released"
                self._observer.ended(node, state, digest=command.digest)
                adopted = performed.reused and node.action.flavour is Flavour.EFFECT
                self._send.send_nowait(Finished(node.id, performed.output, adopted=adopted))
        if scope.cancelled_caught:
            self._observer.ended(node, "cancelled", digest=command.digest)
            self._send.send_nowait(Stopped(node.id))

    def _failed(self, command: Execute, error: Exception) -> None:
        node = self._graph.nodes[command.node]
        transient = isinstance(error, TransientError)
        again = transient and command.attempt <= node.action.retries
        if not again:
            self.outcome.failures.append((node.id, error))
        message = error.message if isinstance(error, BangerError) else f"{type(error).__name__}: {error}"
        self._observer.ended(node, "retrying" if again else "failed", digest=command.digest, detail=message)
        self._send.send_nowait(Failed(node.id, message, transient=transient))

    async def _retry_later(self, command: RetryLater) -> None:
        longest = min(_BACKOFF_FIRST_S * 2 ** (command.attempt - 1), _BACKOFF_MOST_S)
        await anyio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - spreads retries, keeps no secret
        self._send.send_nowait(RetryDue(command.node))
