"""The scheduler: a state machine that turns events into commands and does nothing else.

No I/O, no clock, no random number: the same events give the same commands. Work per event is proportional to what the
event sets free, never to the size of the graph. Nodes are numbered in the graph's order and kept in flat lists, since
a graph of 10,000 nodes is looked at on every run that has nothing to do.
"""

from array import array
from collections import deque
from collections.abc import Mapping

from banger.graph.build import Graph
from banger.graph.events import (
    Abort,
    Begin,
    Command,
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
from banger.graph.pools import Pools
from banger.graph.states import MOVES, State
from banger.model.action import Flavour, Node, Output, Scope, action_digest, action_document
from banger.model.digest import Digest

_REMEMBERED = (Flavour.BUILD, Flavour.QUERY)
_STATES = tuple(State)


class IllegalMoveError(AssertionError):
    """A node was moved in a way that the table does not allow: a bug in banger; the message is the node's story."""


class Scheduler:
    """One run of one graph.

    `weights`: expected seconds of each node, by id, for the longest-path priority. `keep_going`: after a failure, what
    does not depend on it still runs; otherwise nothing new starts and running builds end, so that their work is kept.
    """

    def __init__(
        self,
        graph: Graph,
        capacities: Mapping[str, int],
        *,
        weights: Mapping[str, float] | None = None,
        keep_going: bool = False,
    ) -> None:
        self.graph = graph
        self._nodes: list[Node] = list(graph.nodes.values())
        self._number = {name: number for number, name in enumerate(graph.nodes)}
        number = self._number
        self._after = [[number[name] for name in graph.successors[node.id]] for node in self._nodes]
        self._before = [[number[name] for name in graph.predecessors[node.id]] for node in self._nodes]
        self._missing = [len(before) for before in self._before]
        self._effect_of = {number[release]: number[effect] for effect, release in graph.release_of.items()}
        self._state = [State.WAITING] * len(self._nodes)
        self._output: list[Output | None] = [None] * len(self._nodes)
        self._attempt = [0] * len(self._nodes)
        self._because: dict[int, str] = {}
        self._adopted: set[int] = set()
        self._kept: list[int] = []
        self._running: dict[int, None] = {}
        self._backing_off: dict[int, None] = {}
        self._freed: deque[int] = deque()
        self._digests: list[Digest | None] = [None] * len(self._nodes)
        self._pools = Pools(capacities)
        self._priority = self._longest_paths(weights or {})
        self._keep_going = keep_going
        self._halted = False
        self._halt_reason = ""
        self._failing = False  # what was begun is undone
        self._spared = False  # a node has failed, but what was begun is kept to be looked at
        self._settled = False  # every ordinary node is done, or spared
        self._concluded = False
        self._open = len(self._nodes)
        self._open_ordinary = sum(node.action.flavour is not Flavour.RELEASE for node in self._nodes)
        self._story = array("Q")
        self._out: list[Command] = []

    def handle(self, event: Event) -> list[Command]:
        """Take one event and return what is to be done now, in order. Raises IllegalMoveError."""
        match event:
            case LookedUp():
                self._on_looked_up(self._number[event.node], event.output)
            case Finished():
                self._on_finished(self._number[event.node], event)
            case Failed():
                self._on_failed(self._number[event.node], event)
            case Stopped():
                self._end_running(self._number[event.node], State.CANCELLED)
            case RetryDue():
                self._on_retry_due(self._number[event.node])
            case Begin():
                self._freed.extend(number for number, count in enumerate(self._missing) if count == 0)
            case Abort():
                self._on_abort(event.reason)
        self._settle()
        self._start_what_fits()
        commands, self._out = self._out, []
        return commands

    def state(self, node: str) -> State:
        """Where the node is now."""
        return self._state[self._number[node]]

    def output(self, node: str) -> Output | None:
        """What the node put out; None unless it is done. (A release puts out nothing.)"""
        return self._output[self._number[node]]

    def because(self, node: str) -> str | None:
        """Why the node was skipped, cancelled or failed: a node's id, or a reason in words."""
        return self._because.get(self._number[node])

    # Events

    def _on_abort(self, reason: str) -> None:
        if self._open_ordinary:
            self._start_failing()
            self._halt(reason, builds_too=True)

    def _on_looked_up(self, number: int, output: Output | None) -> None:
        if output is not None:
            self._output[number] = output
            self._end(number, State.DONE)
        elif self._halted:
            self._because[number] = self._halt_reason
            self._end(number, State.CANCELLED)
        else:
            self._ready(number)

    def _on_finished(self, number: int, event: Finished) -> None:
        if event.adopted:
            self._adopted.add(number)
        self._output[number] = event.output
        self._end_running(number, State.DONE)

    def _on_failed(self, number: int, event: Failed) -> None:
        node = self._nodes[number]
        again = event.transient and self._attempt[number] <= node.action.retries
        if again and self._state[number] is State.RUNNING and not (self._halted and self._is_ordinary(number)):
            self._pools.release(node.action.needs.pools)
            del self._running[number]
            self._move(number, State.BACKOFF)
            self._backing_off[number] = None
            self._out.append(RetryLater(node.id, self._attempt[number]))
            return
        self._because[number] = event.message
        self._end_running(number, State.FAILED)

    def _on_retry_due(self, number: int) -> None:
        if number in self._backing_off:  # otherwise the run ended while the timer ran
            del self._backing_off[number]
            self._ready(number)

    # Moves

    def _unblocked(self, number: int) -> None:
        """Every predecessor is at its end: decide what becomes of this node."""
        node = self._nodes[number]
        if node.action.flavour is Flavour.RELEASE:
            self._unblocked_release(number)
            return
        missed = next((one for one in self._before[number] if self._state[one] is not State.DONE), None)
        if missed is not None:
            root = None if self._state[missed] is State.FAILED else self._because.get(missed)
            self._because[number] = root or self._nodes[missed].id
            self._end(number, State.SKIPPED)
        elif self._halted:
            self._because[number] = self._halt_reason
            self._end(number, State.SKIPPED)
        elif node.action.flavour in _REMEMBERED:
            self._move(number, State.LOOKUP)
            self._out.append(Lookup(node.id, self._digest(number)))
        else:
            self._ready(number)

    def _unblocked_release(self, number: int) -> None:
        effect = self._effect_of.get(number)
        if effect is None:  # a lease of an earlier run, to be released by this one
            self._ready(number)
        elif self._attempt[effect] == 0 or effect in self._adopted:
            self._end(number, State.SKIPPED)
        elif self._failing or self._state[effect] is not State.DONE or self._nodes[effect].action.scope is Scope.RUN:
            self._ready(number)
        elif self._settled:
            self._end(number, State.SKIPPED)
        else:
            self._move(number, State.KEPT)
            self._kept.append(number)

    def _ready(self, number: int) -> None:
        claim = self._nodes[number].action.needs.pools
        pool = self._pools.unsatisfiable(claim)
        if pool is not None:
            have, want = self._pools.capacities.get(pool, 0), dict(claim)[pool]
            self._because[number] = f"needs {want} of {pool}, and there are {have} in all"
            self._end(number, State.FAILED)
            return
        self._move(number, State.READY)
        self._pools.push(claim, self._priority[number], number)

    def _start_what_fits(self) -> None:
        while (number := self._pools.pop()) is not None:
            self._move(number, State.RUNNING)
            self._running[number] = None
            self._attempt[number] += 1
            release = self._nodes[number].action.flavour is Flavour.RELEASE
            digest = None if release else self._digest(number)
            self._out.append(Execute(self._nodes[number].id, digest, self._attempt[number]))

    def _end_running(self, number: int, state: State) -> None:
        self._pools.release(self._nodes[number].action.needs.pools)
        del self._running[number]
        self._end(number, state)

    def _end(self, number: int, state: State) -> None:
        """Bring a node to its end; `_settle` decides about the nodes that waited for it."""
        self._move(number, state)
        self._open -= 1
        if self._is_ordinary(number):
            self._open_ordinary -= 1
            if state is not State.DONE:
                self._missed(number, state)
        for after in self._after[number]:
            self._missing[after] -= 1
            if self._missing[after] == 0:
                self._freed.append(after)

    def _settle(self) -> None:
        """Decide about every node that has been set free; a loop, not a recursion, since a chain can be long."""
        while True:
            while self._freed:
                self._unblocked(self._freed.popleft())
            if self._open_ordinary or self._failing or self._settled:
                break
            self._settled = True
            for number in self._kept:
                self._end(number, State.SKIPPED)
        if self._open == 0 and not self._concluded:
            self._concluded = True
            self._out.append(Conclude(succeeded=self._settled and not self._spared, keep=self._settled))

    def _missed(self, number: int, state: State) -> None:
        """An ordinary node has ended without being done: the run fails, and what that means for the others."""
        node = self._nodes[number]
        if state is State.FAILED and node.action.post_mortem and not self._failing:
            self._spared = True
        elif state is State.FAILED or not self._spared:
            self._start_failing()
        if state is State.FAILED and (self._spared or not self._keep_going):
            self._halt(node.id, builds_too=False)

    def _start_failing(self) -> None:
        """The run cannot succeed any more: whatever it has begun is undone."""
        if not self._failing:
            self._failing = True
            for number in self._kept:
                self._ready(number)

    def _halt(self, reason: str, *, builds_too: bool) -> None:
        """Start nothing more but releases; a running build may end, so that its work is kept, unless `builds_too`."""
        self._halted = True
        self._halt_reason = reason
        queued = self._pools.drain()
        for number in [one for one in (*queued, *self._backing_off) if self._is_ordinary(one)]:
            self._backing_off.pop(number, None)
            self._because[number] = reason
            self._end(number, State.CANCELLED)
        for number in queued:
            if not self._is_ordinary(number):
                self._pools.push(self._nodes[number].action.needs.pools, self._priority[number], number)
        for number in self._running:
            flavour = self._nodes[number].action.flavour
            spared = flavour is Flavour.RELEASE or (flavour is Flavour.BUILD and not builds_too)
            if not spared and self._state[number] is State.RUNNING:
                self._because[number] = reason
                self._move(number, State.STOPPING)
                self._out.append(Stop(self._nodes[number].id))

    def _move(self, number: int, state: State) -> None:
        """The one place where a node changes state."""
        if state not in MOVES[self._state[number]]:
            raise IllegalMoveError(f"{self._nodes[number].id}: {' -> '.join((*self.story(number), state.name))}")
        self._state[number] = state
        self._story.append(number << 4 | state)

    def story(self, number: int) -> list[str]:
        """Every state that a node has been in, in order."""
        return ["WAITING", *(_STATES[entry & 15].name for entry in self._story if entry >> 4 == number)]

    # Values

    def _is_ordinary(self, number: int) -> bool:
        return self._nodes[number].action.flavour is not Flavour.RELEASE

    def _digest(self, number: int) -> Digest:
        known = self._digests[number]
        if known is not None:
            return known
        node = self._nodes[number]
        inputs: dict[str, Digest] = {}
        for name, source in node.inputs.items():
            output = self._output[self._number[source]]
            assert output is not None, f"{node.id} was unblocked before {source} put anything out"
            inputs[name] = output.digest
        digest = self._digests[number] = action_digest(action_document(node.action, inputs))
        return digest

    def _longest_paths(self, weights: Mapping[str, float]) -> list[float]:
        paths = [0.0] * len(self._nodes)
        for number in range(len(self._nodes) - 1, -1, -1):
            rest = max((paths[after] for after in self._after[number]), default=0.0)
            paths[number] = weights.get(self._nodes[number].id, 1.0) + rest
        return paths
