"""The half of the driver that never waits: events go into the scheduler, and what it looks up is answered at once.

A run that finds everything remembered is over when this is; it has needed no event loop, nor any library that has one.
"""

from collections import deque

from banger.engine.observe import Observer
from banger.engine.remembered import Remembered
from banger.graph.events import Answers, Begin, Command, Conclude, Event, LookedUp, Lookup
from banger.graph.scheduler import Scheduler
from banger.model.action import Flavour, Output, action_digest

_BUILD, _QUERY = Flavour.BUILD, Flavour.QUERY  # slow to name in Python 3.11


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
        self._observer.tick()
        self.feed(Begin(self._look_ahead()))
        return self.conclusion is not None

    def _look_ahead(self) -> dict[str, Output]:
        """What is remembered of the nodes that stand on nothing but what is remembered.

        In one loop, and so at half the price of a question for each: most runs have nothing to do.
        """
        found: dict[str, Output] = {}
        lookup, hit = self._remembered.lookup, self._observer.hit
        for name, node in self._nodes.items():
            action = node.action
            if action.flavour is not _BUILD and action.flavour is not _QUERY:
                continue
            try:
                inputs = {field: found[source].digest for field, source in node.inputs.items()}
            except KeyError:
                continue
            if node.after and not all(one in found for one in node.after):
                continue
            digest = action_digest(action, inputs)
            output = lookup(node, digest)
            if output is not None:
                found[name] = output
                hit(node, digest)
        return found

    def feed(self, event: Event) -> None:
        """Take an event, and all that follows from it."""
        self._observer.tick()
        commands = self.scheduler.handle(event)
        while commands:
            answers: list[LookedUp] = []
            for command in commands:
                if type(command) is Lookup:
                    answers.append(LookedUp(command.node, self._look_up(command)))
                elif type(command) is Conclude:
                    self.conclusion = command
                else:
                    self.wanted.append(command)
            commands = self.scheduler.handle(Answers(answers)) if answers else []

    def _look_up(self, command: Lookup) -> Output | None:
        node = self._nodes[command.node]
        output = self._remembered.lookup(node, command.digest)
        if output is not None:
            self._observer.hit(node, command.digest)
        return output
