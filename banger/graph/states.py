"""The states of a node and the moves between them. docs/engine.md draws its diagram from this table."""

from enum import IntEnum


class State(IntEnum):
    """Where a node is. Every node is in exactly one of these."""

    WAITING = 0
    LOOKUP = 1
    READY = 2
    RUNNING = 3
    STOPPING = 4
    BACKOFF = 5
    KEPT = 6
    DONE = 7
    FAILED = 8
    SKIPPED = 9
    CANCELLED = 10


MEANINGS = {
    State.WAITING: "a predecessor is not at its end",
    State.LOOKUP: "is its output remembered?",
    State.READY: "waits for its pools",
    State.RUNNING: "claimed its pools",
    State.STOPPING: "told to stop, has not answered",
    State.BACKOFF: "failed for a passing reason",
    State.KEPT: "a release: does the run succeed?",
    State.DONE: "its output is known",
    State.FAILED: "for good",
    State.SKIPPED: "never started",
    State.CANCELLED: "was to run, or ran, when the run ended",
}

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


class IllegalMoveError(AssertionError):
    """A node was moved in a way that the table does not allow: a bug in banger; the message is the node's story."""


def diagram() -> str:
    """The table as a Mermaid state diagram, as docs/engine.md has it."""
    lines = ["stateDiagram-v2", "    [*] --> WAITING"]
    lines += [f"    {state.name}: {state.name.lower()}<br/>{MEANINGS[state]}" for state in State]
    lines += [f"    {state.name} --> {after.name}" for state in State for after in sorted(MOVES[state])]
    lines += [f"    {state.name} --> [*]" for state in sorted(ENDS)]
    return "\n".join(lines) + "\n"
