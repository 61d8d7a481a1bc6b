"""Single flight: a Build belongs to no run. Whoever wants it boards; it is called off when the last of them leaves.

A flight outlives the run that began it when another waits for it, so no task group of a run can hold it: it is flown
by a task of the event loop itself, kept here until it has landed, and nobody who boarded ends before it has, or has
left it. Such a task, a crew, flies one after the other as long as none of them has to wait; while one waits, another
crew takes the next. So Builds are under way at once as if each had a task of its own, and most need none.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

import anyio
import msgspec

from banger.model.action import Output
from banger.model.digest import Digest
from banger.model.errors import DeadlineError
from banger.tasks import Progress


class Made(msgspec.Struct, frozen=True):
    """How a flight landed well. `reused`: somebody else had made it meanwhile."""

    output: Output
    reused: bool = False


_ARM_AFTER_S = 1.0
_CREW_TURN_S = 0.005
"""For how long a crew may fly on before it lets the event loop see to others."""

Landing: TypeAlias = Made | Exception | None
"""What was made, why it was not, or None: it was called off."""


class Passenger(Protocol):
    """One node of one run that wants a Build."""

    @property
    def who(self) -> str:
        """The run, as it is told to others that wait for it."""
        ...

    @property
    def node(self) -> str:
        """The node, as an error names it."""
        ...

    def started(self) -> None:
        """It is being made for this one."""

    def waiting(self, who: str) -> None:
        """It is being made for somebody else."""

    def made(self) -> None:
        """It is made, for this one; to record it is what is left."""

    def joined(self) -> None:
        """All there is to do for it is to wait."""

    def progress(self, progress: Progress) -> None:
        """How far it is."""

    def landed(self, landing: Landing) -> None:
        """It is over. Must not raise."""


class Flight(msgspec.Struct, eq=False):
    """One Build under way. `pilot`: the passenger that it was begun for, whether or not it is still aboard.

    `scope`: what can be cancelled while it is in the air; None while it is on the ground.
    """

    pilot: Passenger
    make: "Make"
    deadline_s: float
    passengers: dict[Passenger, None]
    scope: anyio.CancelScope | None = None
    due: float = math.inf
    """When its deadline is, on the clock of the event loop."""
    called_off: bool = False
    next: "list[Flight]" = []
    """Those who came when it was called off already, each with a flight of its own in mind."""

    def started(self) -> None:
        """The work itself begins."""
        if self.pilot in self.passengers:
            self.pilot.started()

    def made(self) -> None:
        """The work itself is over."""
        if self.pilot in self.passengers:
            self.pilot.made()

    def waiting(self, who: str) -> None:
        """Another process makes it; however long that takes is no concern of the deadline."""
        self._set_due(math.inf)
        for passenger in self.passengers:
            passenger.waiting(who)

    def ours(self) -> None:
        """It is for us to make, after all."""
        self._set_due(anyio.current_time() + self.deadline_s)

    def _set_due(self, due: float) -> None:
        self.due = due
        assert self.scope is not None, f"{self.pilot.node} is on the ground"
        self.scope.deadline = due

    def progress(self, progress: Progress) -> None:
        """Tell everybody aboard how far it is."""
        for passenger in self.passengers:
            passenger.progress(progress)


Make: TypeAlias = Callable[[Flight], Awaitable[Made]]


class Flights:
    """The Builds under way in this process."""

    def __init__(self) -> None:
        self._flights: dict[Digest, Flight] = {}
        self._arming = False
        self._on_ground: deque[tuple[Digest, Flight]] = deque()
        self._crews: set[asyncio.Task[None]] = set()
        self._free_crews = 0  # those that will look at what is on the ground before they wait for anything
        self._relieving = False

    def board(self, digest: Digest, passenger: Passenger, make: Make, *, deadline_s: float) -> None:
        """Have it made, or wait for it if somebody has; `passenger.landed` is called once."""
        flight = self._flights.get(digest)
        if flight is None:
            self._take_off(digest, Flight(passenger, make, deadline_s, {passenger: None}))
            return
        passenger.waiting(flight.pilot.who)
        if flight.called_off:
            flight.next.append(Flight(passenger, make, deadline_s, {passenger: None}))
        else:
            flight.passengers[passenger] = None
            passenger.joined()

    def leave(self, digest: Digest, passenger: Passenger) -> None:
        """Do not wait any longer. The last to leave is landed when the work has been called off and has ended."""
        flight = self._flights.get(digest)
        if flight is None:
            return
        waiting = next((one for one in flight.next if passenger in one.passengers), None)
        if waiting is not None:
            flight.next.remove(waiting)
            passenger.landed(None)
        elif len(flight.passengers) > 1 and passenger in flight.passengers:
            del flight.passengers[passenger]
            passenger.landed(None)
        elif passenger in flight.passengers:
            flight.called_off = True
            if flight.scope is not None:
                flight.scope.cancel()

    def _take_off(self, digest: Digest, flight: Flight) -> None:
        self._flights[digest] = flight
        loop = asyncio.get_running_loop()
        flight.due = loop.time() + flight.deadline_s
        self._on_ground.append((digest, flight))
        self._call_crew()
        if not self._arming:
            self._arming = True
            loop.call_later(_ARM_AFTER_S, self._arm)

    def _arm(self) -> None:
        """Set the deadlines of all that are still under way. (Most are over by then: a timer each would be a waste.)"""
        self._arming = False
        for flight in self._flights.values():
            if flight.scope is not None:
                flight.scope.deadline = flight.due

    def _call_crew(self) -> None:
        """See to it that somebody flies what is on the ground, unless somebody is about to."""
        if self._on_ground and not self._free_crews:
            self._free_crews += 1
            crew = asyncio.get_running_loop().create_task(self._serve())
            self._crews.add(crew)
            crew.add_done_callback(self._crews.discard)

    def _relieve(self) -> None:
        """A crew has let go of the event loop: if that is because its flight waits, another takes the next."""
        self._relieving = False
        self._call_crew()

    async def _serve(self) -> None:
        """Be a crew until nothing is on the ground. Is free whenever it is here, and not in `_fly`."""
        loop = asyncio.get_running_loop()
        turn_ends = loop.time() + _CREW_TURN_S
        try:
            while self._on_ground:
                with anyio.CancelScope() as scope:  # of the one flight in the air; used again until it is cancelled
                    while self._on_ground and not scope.cancel_called:
                        await self._fly(*self._on_ground.popleft(), scope)
                        if loop.time() >= turn_ends and not scope.cancel_called:
                            await asyncio.sleep(0)
                            turn_ends = loop.time() + _CREW_TURN_S
        finally:
            self._free_crews -= 1

    async def _fly(self, digest: Digest, flight: Flight, scope: anyio.CancelScope) -> None:
        landing: Landing = None
        self._free_crews -= 1
        if not self._relieving:
            self._relieving = True
            asyncio.get_running_loop().call_soon(self._relieve)
        try:
            if flight.called_off:
                return
            flight.scope = scope
            if flight.deadline_s <= _ARM_AFTER_S or not self._arming:
                scope.deadline = flight.due  # `_arm` has been, or will be too late
            landing = await flight.make(flight)
        except Exception as error:  # noqa: BLE001 - whatever it is, those aboard are told
            landing = error
        finally:
            if landing is None and scope.cancel_called and not flight.called_off:
                landing = DeadlineError(f"{flight.pilot.node}: not done after {flight.deadline_s:g} s")
            flight.scope = None
            if scope.deadline != math.inf:
                scope.deadline = math.inf
            self._free_crews += 1
            self._land(digest, flight, landing)

    def _land(self, digest: Digest, flight: Flight, landing: Landing) -> None:
        del self._flights[digest]
        for passenger in flight.passengers:
            if isinstance(landing, Made) and passenger is not flight.pilot:
                passenger.landed(Made(landing.output, reused=True))
            else:
                passenger.landed(landing)
        for waiting in flight.next:
            (again,) = waiting.passengers
            self.board(digest, again, waiting.make, deadline_s=waiting.deadline_s)
