"""The states of a node and the moves between them. docs/engine.md draws its diagram from this table."""

from enum import IntEnum


class State(IntEnum):
    """Where a node is. Every node is in exactly one of these."""

    WAITING = 0  # a predecessor is not at its end
    LOOKUP = 1  # asked whether its output is remembered
    READY = 2  # waits for its pools
    RUNNING = 3
    STOPPING = 4  # told to stop, has not answered
    BACKOFF = 5  # failed for a passing reason, will be ready again
    KEPT = 6  # release of an effect that stays if the run succeeds: waits for that to be known
    DONE = 7
    FAILED = 8
    SKIPPED = 9  # never started, and never will be
    CANCELLED = 10  # was to run, or ran, when the run ended


ENDS = frozenset((State.DONE, State.FAILED, State.SKIPPED, State.CANCELLED))

MOVES: dict[State, frozenset[State]] = {
    State.WAITING: frozenset((State.LOOKUP, State.READY, State.KEPT, State.SKIPPED, State.FAILED)),
    State.LOOKUP: frozenset((State.DONE, State.READY, State.FAILED, State.CANCELLED)),
    State.READY: frozenset((State.RUNNING, State.CANCELLED)),
    State.RUNNING: frozenset((State.DONE, State.FAILED, State.BACKOFF, State.STOPPING)),
    State.STOPPING: frozenset((State.DONE, State.FAILED, State.CANCELLED)),
    State.BACKOFF: frozenset((State.READY, State.CANCELLED)),
    State.KEPT: frozenset((State.READY, State.SKIPPED)),
    State.DONE: frozenset(),
    State.FAILED: frozenset(),
    State.SKIPPED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""The only moves there are; any other is a bug in banger."""
