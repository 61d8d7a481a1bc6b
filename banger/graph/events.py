"""What happens (events, into the scheduler) and what is to be done (commands, out of it)."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from banger.model.action import Output
from banger.model.digest import Digest


class Begin(msgspec.Struct, frozen=True):
    """Start the graph.

    `known`: what is remembered of nodes that stand on nothing but such nodes, in topological order. They are done.
    """

    known: Mapping[str, Output] = {}


class LookedUp(msgspec.Struct, frozen=True):
    """Answer to Lookup: the remembered output, or None for a miss."""

    node: str
    output: Output | None


class Answers(msgspec.Struct, frozen=True):
    """Answers to several Lookups. What they set free starts after all of them are in: the longest path first."""

    lookups: Sequence[LookedUp]


class Finished(msgspec.Struct, frozen=True):
    """A running node succeeded. `adopted`: the effect was there already, and this run must not undo it."""

    node: str
    output: Output
    adopted: bool = False


class Failed(msgspec.Struct, frozen=True):
    """A running node failed. `transient`: the same again may succeed."""

    node: str
    message: str
    transient: bool = False


class Stopped(msgspec.Struct, frozen=True):
    """A running node ended because of Stop."""

    node: str


class Joined(msgspec.Struct, frozen=True):
    """A running Build turns out to be made by another run: this one waits, and needs nothing of the pools for that."""

    node: str


class RetryDue(msgspec.Struct, frozen=True):
    """The delay asked for by RetryLater is over."""

    node: str


class Room(msgspec.Struct, frozen=True):
    """Another run has given back something of the pools."""


class Abort(msgspec.Struct, frozen=True):
    """The user or the daemon wants the run to end: undo what was begun."""

    reason: str


Event: TypeAlias = Begin | LookedUp | Answers | Finished | Failed | Stopped | Joined | RetryDue | Room | Abort


class Lookup(msgspec.Struct, frozen=True):
    """See whether the output of this action is remembered; answer with LookedUp, alone or among Answers."""

    node: str
    digest: Digest


class Execute(msgspec.Struct, frozen=True):
    """Run the node; answer with Finished, Failed or Stopped. `digest` is None for a release node.

    `freed_by`: the predecessor that ended last. `granted_by`: the node whose end gave back what this one had to wait
    for; None if it did not have to wait, or waited for another run.
    """

    node: str
    digest: Digest | None
    attempt: int
    freed_by: str | None = None
    granted_by: str | None = None


class Stop(msgspec.Struct, frozen=True):
    """Cancel the running node; it answers with Stopped, or with Finished or Failed if it was just ending."""

    node: str


class RetryLater(msgspec.Struct, frozen=True):
    """Answer with RetryDue after a delay that grows with `attempt`."""

    node: str
    attempt: int


class Conclude(msgspec.Struct, frozen=True):
    """Every node is at its end. `keep`: what the run holds passes to the VM, though the run may have failed."""

    succeeded: bool
    keep: bool


Command: TypeAlias = Lookup | Execute | Stop | RetryLater | Conclude
