"""The scheduler: a state machine that turns events into commands and does nothing else.

No I/O, no clock, no random number: the same events give the same commands. Work per event is proportional to what the
event sets free, never to the size of the graph. Nodes are numbered in the graph's order and kept in flat lists, since
a graph of 10,000 nodes is looked at on every run that has nothing to do.
"""

from array import array
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from banger.graph.build import Graph
from banger.graph.events import (
    Abort,
    Answers,
    Begin,
    Command,
    Conclude,
    Event,
    Execute,
    Failed,
    Finished,
    Joined,
    LookedUp,
    Lookup,
    RetryDue,
    RetryLater,
    Room,
    Stop,
    Stopped,
)
from banger.graph.identity import Identity
from banger.graph.paths import longest_paths
from banger.graph.pools import Pools, Queue
from banger.graph.states import ENDS, MOVES, IllegalMoveError, State
from banger.model.action import Flavour, Node, Output, Scope

RETRY_BUDGET = 32
"""Retries that all nodes of one run have together: when everything fails, trying everything again is no help."""

_STATES = tuple(State)
_NOBODY = -1
# To name a member of an enum is slow in Python 3.11, and these are named for every node of every run.
_DONE, _LOOKUP = State.DONE, State.LOOKUP
_BUILD, _QUERY, _RELEASE = Flavour.BUILD, Flavour.QUERY, Flavour.RELEASE


class Scheduler:
    """One run of one graph.

    `pools`: capacities, or the pools that several runs share. `weights`: expected seconds by node id or by kind, for
    the longest-path priority. `keep_going`: after a failure, what does not depend on it still runs; otherwise nothing
    new starts and running builds end, so that their work is kept.
    """

    def __init__(
        self,
        graph: Graph,
        pools: Mapping[str, int] | Pools,
        *,
        weights: Mapping[str, float] | None = None,
        keep_going: bool = False,
    ) -> None:
        self.graph = graph
        self._nodes: list[Node] = list(graph.nodes.values())
        count = len(self._nodes)
        self._number = {name: number for number, name in enumerate(graph.nodes)}
        self._flavour = [node.action.flavour for node in self._nodes]
        self._after = graph.after
        self._missing = [len(before) for before in graph.before]
        self._effect_of = {self._number[release]: self._number[one] for one, release in graph.release_of.items()}
        self._state = [State.WAITING] * count
        identity = Identity(graph, self._number)
        self._output, self._digest = identity.outputs, identity.digest
        self._attempt: dict[int, int] = {}
        self._because: dict[int, str] = {}
        self._spoiled_by: dict[int, int] = {}
        self._freed_by = array("l", [_NOBODY]) * count
        self._adopted: set[int] = set()
        self._kept: list[int] = []
        self._running: dict[int, None] = {}
        self._joined: set[int] = set()  # running, and waiting for another run
        self._backing_off: dict[int, None] = {}
        self._freed: deque[int] = deque()
        self._queue = Queue(pools if isinstance(pools, Pools) else Pools(pools))
        self._fresh: set[int] = set()  # became ready because of this very event
        self._giver: int = _NOBODY  # whose end is being handled
        self._weights = weights or {}
        self._paths: list[float] | None = None
        self._retries_left = RETRY_BUDGET
        self._keep_going = keep_going
        self._halted = False
        self._halt_reason = ""
        self._failing = False  # what was begun is undone
        self._spared = False  # a node has failed, but what was begun is kept to be looked at
        self._settled = False  # every ordinary node is done, or spared
        self._concluded = False
        self._open = count
        self._open_ordinary = count - self._flavour.count(_RELEASE)
        self._story = array("Q")
        self._out: list[Command] = []
        self._on: Mapping[type[Event], Callable[[Any], None]] = {
            Begin: self._on_begin,
            LookedUp: self._on_looked_up,
            Answers: self._on_answers,
            Finished: self._on_finished,
            Failed: self._on_failed,
            Stopped: self._on_stopped,
            Joined: self._on_joined,
            RetryDue: self._on_retry_due,
            Room: self._on_room,
            Abort: self._on_abort,
        }

    def handle(self, event: Event) -> list[Command]:
        """Take one event and return what is to be done now, in order. Raises IllegalMoveError."""
        self._giver = _NOBODY
        if self._fresh:
            self._fresh.clear()
        self._on[type(event)](event)
        self._settle()
        if self._queue:
            self._start_what_fits()
        commands, self._out = self._out, []
        return commands

    @property
    def waits_for_room(self) -> bool:
        """Whether a node is ready and its claim is not free: a Room event may start it."""
        return len(self._queue) > 0

    def state(self, node: str) -> State:
        """Where the node is now."""
        return self._state[self._number[node]]

    def output(self, node: str) -> Output | None:
        """What the node put out; None unless it is done. (A release puts out nothing.)"""
        return self._output[self._number[node]]

    def because(self, node: str) -> str | None:
        """Why the node was skipped, cancelled or failed: a node's id, or a reason in words."""
        return self._because.get(self._number[node])

    def will_retry(self, node: str) -> bool:
        """Whether a transient failure of this running node would be tried again."""
        return self._may_retry(self._number[node])

    def abandon(self) -> None:
        """Give back what is claimed, after a bug: others share the pools."""
        for number in list(self._running):
            self._give_back(number)
        self._queue.drain()

    # Events

    def _on_begin(self, event: Begin) -> None:
        missing, after, freed_by = self._missing, self._after, self._freed_by
        for name, output in event.known.items():  # as `_unblocked` and `_end` do, without a question in between
            number = self._number[name]
            assert not missing[number], f"{name} cannot be known before what it stands on"
            self._move(number, _LOOKUP)
            self._move(number, _DONE)
            self._output[number] = output
            for one in after[number]:
                missing[one] -= 1
                freed_by[one] = number  # in the end: the last of them
        self._open -= len(event.known)
        self._open_ordinary -= len(event.known)
        free = (number for number, count in enumerate(missing) if not count)
        self._freed.extend(number for number in free if self._state[number] is State.WAITING)

    def _on_room(self, _: Room) -> None:
        """To look at the queue again is all there is to do."""

    def _on_abort(self, event: Abort) -> None:
        if self._open_ordinary:
            self._start_failing()
            self._halt(event.reason, builds_too=True)

    def _on_looked_up(self, event: LookedUp) -> None:
        number = self._number[event.node]
        if event.output is not None:
            self._output[number] = event.output
            self._end(number, _DONE)
        elif self._halted:
            self._because[number] = self._halt_reason
            self._end(number, State.CANCELLED)
        else:
            self._ready(number)

    def _on_answers(self, event: Answers) -> None:
        for one in event.lookups:
            self._on_looked_up(one)

    def _on_finished(self, event: Finished) -> None:
        number = self._number[event.node]
        if event.adopted:
            self._adopted.add(number)
        self._output[number] = event.output
        self._end_running(number, _DONE)

    def _on_failed(self, event: Failed) -> None:
        number = self._number[event.node]
        if event.transient and self._may_retry(number):
            self._retries_left -= self._is_ordinary(number)
            self._give_back(number)
            self._move(number, State.BACKOFF)
            self._backing_off[number] = None
            self._out.append(RetryLater(event.node, self._attempt[number]))
            return
        self._because[number] = event.message
        self._end_running(number, State.FAILED)

    def _on_stopped(self, event: Stopped) -> None:
        self._end_running(self._number[event.node], State.CANCELLED)

    def _on_joined(self, event: Joined) -> None:
        number = self._number[event.node]
        if number in self._running and number not in self._joined:
            self._queue.pools.give_back(self._nodes[number].action.needs.pools)
            self._joined.add(number)
            self._giver = number

    def _on_retry_due(self, event: RetryDue) -> None:
        number = self._number[event.node]
        if number in self._backing_off:  # otherwise the run ended while the timer ran
            del self._backing_off[number]
            self._ready(number)

    def _may_retry(self, number: int) -> bool:
        if self._state[number] is not State.RUNNING or self._attempt[number] > self._nodes[number].action.retries:
            return False
        # A release is tried again whatever else has failed.
        return not self._is_ordinary(number) or (self._retries_left > 0 and not self._halted)

    # Moves

    def _unblocked(self, number: int) -> None:
        """Every predecessor is at its end: decide what becomes of this node."""
        flavour = self._flavour[number]
        if flavour is _RELEASE:
            self._unblocked_release(number)
            return
        missed = self._spoiled_by.get(number)
        if missed is not None:
            root = None if self._state[missed] is State.FAILED else self._because.get(missed)
            self._because[number] = root or self._nodes[missed].id
            self._end(number, State.SKIPPED)
        elif self._halted:
            self._because[number] = self._halt_reason
            self._end(number, State.SKIPPED)
        elif flavour is _BUILD or flavour is _QUERY:
            self._move(number, _LOOKUP)
            self._out.append(Lookup(self._nodes[number].id, self._digest(number)))
        else:
            self._ready(number)

    def _unblocked_release(self, number: int) -> None:
        effect = self._effect_of.get(number)
        if effect is None:  # a lease of an earlier run, to be released by this one
            self._ready(number)
        elif effect not in self._attempt or effect in self._adopted:
            self._end(number, State.SKIPPED)
        elif self._failing or self._state[effect] is not _DONE or self._nodes[effect].action.scope is Scope.RUN:
            self._ready(number)
        elif self._settled:
            self._end(number, State.SKIPPED)
        else:
            self._move(number, State.KEPT)
            self._kept.append(number)

    def _ready(self, number: int) -> None:
        claim = self._nodes[number].action.needs.pools
        problem = self._queue.pools.refusal(claim)
        if problem is not None:
            self._because[number] = problem
            self._end(number, State.FAILED)
            return
        self._move(number, State.READY)
        self._fresh.add(number)
        self._queue.push(claim, self._priority(number), number)

    def _start_what_fits(self) -> None:
        while (number := self._queue.pop()) is not None:
            self._move(number, State.RUNNING)
            self._running[number] = None
            attempt = self._attempt[number] = self._attempt.get(number, 0) + 1
            node = self._nodes[number].id
            digest = None if self._flavour[number] is _RELEASE else self._digest(number)
            granted_by = None if number in self._fresh else self._name(self._giver)
            self._out.append(Execute(node, digest, attempt, self._name(self._freed_by[number]), granted_by))

    def _give_back(self, number: int) -> None:
        if number in self._joined:
            self._joined.discard(number)
        else:
            self._queue.pools.give_back(self._nodes[number].action.needs.pools)
            self._giver = number
        del self._running[number]

    def _end_running(self, number: int, state: State) -> None:
        self._give_back(number)
        self._end(number, state)

    def _end(self, number: int, state: State) -> None:
        """Bring a node to its end; `_settle` decides about the nodes that waited for it."""
        self._move(number, state)
        self._open -= 1
        if self._flavour[number] is not _RELEASE:
            self._open_ordinary -= 1
            if state is not _DONE:
                self._missed(number, state)
        if state is not _DONE:
            for after in self._after[number]:
                self._spoiled_by.setdefault(after, number)
        missing = self._missing
        for after in self._after[number]:
            missing[after] -= 1
            if not missing[after]:
                self._freed_by[after] = number
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
        queued = self._queue.drain()
        for number in [one for one in (*queued, *self._backing_off) if self._is_ordinary(one)]:
            self._backing_off.pop(number, None)
            self._because[number] = reason
            self._end(number, State.CANCELLED)
        for number in queued:
            if not self._is_ordinary(number):
                self._queue.push(self._nodes[number].action.needs.pools, self._priority(number), number)
        for number in self._running:
            flavour = self._flavour[number]
            spared = flavour is _RELEASE or (flavour is _BUILD and not builds_too)
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
        return self._flavour[number] is not _RELEASE

    def _priority(self, number: int) -> float:
        if self._paths is None:  # not needed until something must run
            # What is behind a node that is not at its end is not at its end either.
            to_do = [one for one, state in enumerate(self._state) if state not in ENDS]
            self._paths = longest_paths(self.graph, self._weights, to_do)
        return self._paths[number]

    def _name(self, number: int) -> str | None:
        return None if number == _NOBODY else self._nodes[number].id
