"""The driver: performs what the scheduler wants and cannot be answered at once, until the run is at its end.

The run is shielded: a cancelled run is aborted, which undoes what it began, and only then does the cancellation go on.
"""

import random
from collections.abc import Awaitable
from dataclasses import dataclass, field

import anyio
import msgspec

from banger.engine.decide import Decider
from banger.engine.flights import Flight, Flights, Landing, Made
from banger.engine.observe import Observer
from banger.engine.perform import Performer
from banger.engine.sharing import Sharing
from banger.graph.events import (
    Abort,
    Command,
    Event,
    Execute,
    Failed,
    Finished,
    Joined,
    RetryDue,
    RetryLater,
    Stop,
    Stopped,
)
from banger.model.action import Flavour, Node
from banger.model.digest import Digest
from banger.model.errors import BangerError, DeadlineError, TransientError
from banger.model.progress import NodeState
from banger.tasks import Progress

_BUILD, _EFFECT, _RELEASE = Flavour.BUILD, Flavour.EFFECT, Flavour.RELEASE  # slow to name in Python 3.11
_BACKOFF_FIRST_S = 0.5
_BACKOFF_MOST_S = 30.0


class _Seat(msgspec.Struct, eq=False):
    """A Build of this run, aboard a flight; a `banger.engine.flights.Passenger`."""

    driver: "Driver"
    build: Node
    digest: Digest
    who: str

    @property
    def node(self) -> str:
        return self.build.id

    def make(self, flight: Flight) -> Awaitable[Made]:
        return self.driver.performer.build(self.build, self.digest, flight)

    def started(self) -> None:
        self.driver.observer.started(self.build)

    def waiting(self, who: str) -> None:
        self.driver.observer.waiting(self.build, who)

    def made(self) -> None:
        self.driver.observer.finished(self.build)

    def joined(self) -> None:
        self.driver.feed(Joined(self.build.id))

    def progress(self, progress: Progress) -> None:
        self.driver.observer.progress(self.build, progress)

    def landed(self, landing: Landing) -> None:
        self.driver.arrived(self, landing)


@dataclass(eq=False)
class Driver:
    """The waiting half of one run. `failures`: (node, error) in the order in which they happened."""

    who: str
    decider: Decider
    performer: Performer
    observer: Observer
    flights: Flights
    sharing: Sharing
    failures: list[tuple[str, BaseException]]
    _scopes: dict[str, anyio.CancelScope] = field(default_factory=dict)
    _seats: dict[str, _Seat] = field(default_factory=dict)
    _doing: int = 0
    _hosting: bool = False
    _obeying: bool = False
    _bug: BaseException | None = None

    async def run(self) -> None:
        """Do what the decider wants until it concludes. On cancellation: abort, undo, and then be cancelled."""
        self._ended = anyio.Event()
        with self.sharing.partner(self):
            async with anyio.create_task_group() as group:
                group.start_soon(self._host)
                try:
                    await self._ended.wait()
                except anyio.get_cancelled_exc_class():
                    self.feed(Abort("cancelled"))
                    with anyio.CancelScope(shield=True):
                        await self._ended.wait()
                    raise
        if self._bug is not None:
            for seat in list(self._seats.values()):
                self._leave(seat)
            raise self._bug

    def node(self, command: Execute) -> Node:
        """The node that a command is about."""
        return self.decider.scheduler.graph.nodes[command.node]

    @property
    def waits_for_room(self) -> bool:
        """Whether what another run gives back may start something here."""
        return self.decider.scheduler.waits_for_room

    def feed(self, event: Event) -> None:
        """Take an event, from whichever task it happens in. A bug ends the run, not that task."""
        if self._ended.is_set():
            return
        try:
            self.decider.feed(event)
            self._obey()
        except Exception as error:  # noqa: BLE001 - raised by `run`
            self._end_at(error)
        self.sharing.pass_on(self)

    def _end_at(self, bug: Exception) -> None:
        self._bug = bug
        self._ended.set()

    async def _host(self) -> None:
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as self._workers:
                self._hosting = True
                try:
                    self._obey()
                except Exception as error:  # noqa: BLE001 - raised by `run`
                    self._end_at(error)
                await self._ended.wait()
                self._workers.cancel_scope.cancel()  # timers of retries that are not wanted any more

    def _obey(self) -> None:
        # Cancelled before it was begun; or a flight that is left lands at once. It will be come to.
        if not self._hosting or self._obeying:
            return
        self._obeying = True
        try:
            while self.decider.wanted:
                self._do(self.decider.wanted.popleft())
        finally:
            self._obeying = False
        if self.decider.conclusion is not None:
            self._ended.set()
        elif not self._doing and not self.waits_for_room:
            raise AssertionError("nothing runs, nothing is to run, and the run is not at its end")

    def _do(self, command: Command) -> None:
        if type(command) is Execute:  # by far the most
            self._doing += 1
            self.observer.claimed(command)
            self._start(command)
            return
        match command:
            case Stop() if command.node in self._seats:
                self._leave(self._seats[command.node])
            case Stop():
                self._scopes[command.node].cancel()
            case RetryLater():
                self._doing += 1
                self._workers.start_soon(self._retry_later, command)
            case _:
                raise AssertionError(f"nobody obeys {command}")

    def _leave(self, seat: _Seat) -> None:
        self.flights.leave(seat.digest, seat)

    def _start(self, command: Execute) -> None:
        node = self.node(command)
        if node.action.flavour is not _BUILD:
            self._scopes[node.id] = anyio.CancelScope()
            self._workers.start_soon(self._execute, command)
            return
        digest = command.digest
        assert digest is not None
        seat = self._seats[node.id] = _Seat(self, node, digest, self.who)
        self.flights.board(digest, seat, seat.make, deadline_s=node.action.deadline_s)

    async def _execute(self, command: Execute) -> None:
        """Run one node that is not a Build; whatever it raises is an event, never the end of the loop."""
        node = self.node(command)
        self.observer.started(node)
        landing: Landing = None
        with self._scopes[node.id]:
            try:
                with anyio.fail_after(node.action.deadline_s):
                    performed = await self.performer.perform(node, command.digest)
                landing = Made(performed.output, performed.reused)
            except TimeoutError as error:
                landing = DeadlineError(f"{node.id}: not done after {node.action.deadline_s} s")
                landing.__cause__ = error
            except Exception as error:  # noqa: BLE001 - a bug in one task must not keep the others from being undone
                landing = error
        self.observer.finished(node)
        self.landed(node, landing)

    def arrived(self, seat: _Seat, landing: Landing) -> None:
        """A flight of this run is over."""
        del self._seats[seat.build.id]
        self.landed(seat.build, landing)

    def landed(self, node: Node, landing: Landing) -> None:
        """A node of this run is over: tell the record, and then the scheduler."""
        self._doing -= 1
        if landing is None:
            self.observer.ended(node, "cancelled")
            self.feed(Stopped(node.id))
        elif isinstance(landing, Made):
            self._finished(node, landing)
        else:
            self._failed(node, landing)

    def _finished(self, node: Node, made: Made) -> None:
        self.performer.accept(node, made.output)
        state: NodeState = "hit" if made.reused else "done"
        flavour = node.action.flavour
        if flavour is _RELEASE:
            state = "released"
        self.observer.ended(node, state)
        adopted = made.reused and flavour is _EFFECT
        self.feed(Finished(node.id, made.output, adopted=adopted))

    def _failed(self, node: Node, error: Exception) -> None:
        transient = isinstance(error, TransientError)
        again = transient and self.decider.scheduler.will_retry(node.id)
        message = error.message if isinstance(error, BangerError) else f"{type(error).__name__}: {error}"
        if not again:
            self.failures.append((node.id, error))
        self.observer.ended(node, "retrying" if again else "failed", detail=message)
        self.feed(Failed(node.id, message, transient=transient))

    async def _retry_later(self, command: RetryLater) -> None:
        longest = min(_BACKOFF_FIRST_S * 2 ** (command.attempt - 1), _BACKOFF_MOST_S)
        await anyio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - spreads retries, keeps no secret
        self._doing -= 1
        self.feed(RetryDue(command.node))
