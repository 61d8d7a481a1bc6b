"""The half of the driver that never waits: events go into the scheduler, and what it looks up is answered at once.

A run that finds everything remembered is over when this is; it has needed no event loop, nor any library that has one.
"""

from collections import deque

from banger.engine.observe import Observer
from banger.engine.remembered import Remembered
from banger.graph.events import Begin, Command, Conclude, Event, LookedUp, Lookup
from banger.graph.scheduler import Scheduler
from banger.model.action import Output


class Decider:
    """One run's scheduler with its memory. `wanted`: what is to be done, in order, and was not done yet."""

    def __init__(self, scheduler: Scheduler, remembered: Remembered, observer: Observer) -> None:
        self.scheduler = scheduler
        self._remembered = remembered
        self._observer = observer
        self._nodes = scheduler.graph.nodes
        self.wanted: deque[Command] = deque()
        self.conclusion: Conclude | None = None

    def begin(self) -> bool:
        """Start the run; True if that was all."""
        self.feed(Begin())
        return self.conclusion is not None

    def feed(self, event: Event) -> None:
        """Take an event, and all that follows from it."""
        self._observer.tick()
        events: deque[Event] = deque((event,))
        while events:
            for command in self.scheduler.handle(events.popleft()):
                if type(command) is Lookup:
                    events.append(LookedUp(command.node, self._look_up(command)))
                elif type(command) is Conclude:
                    self.conclusion = command
                else:
                    self.wanted.append(command)

    def _look_up(self, command: Lookup) -> Output | None:
        node = self._nodes[command.node]
        output = self._remembered.lookup(node, command.digest)
        if output is not None:
            self._observer.hit(node, command.digest)
        return output
