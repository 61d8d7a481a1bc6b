"""What happens (events, into the scheduler) and what is to be done (commands, out of it)."""

from dataclasses import dataclass
from typing import TypeAlias

from banger.model.action import Output
from banger.model.digest import Digest


@dataclass(frozen=True, slots=True)
class Begin:
    """Start the graph."""


@dataclass(frozen=True, slots=True)
class LookedUp:
    """Answer to Lookup: the remembered output, or None for a miss."""

    node: str
    output: Output | None


@dataclass(frozen=True, slots=True)
class Finished:
    """A running node succeeded. `adopted`: the effect was there already, and this run must not undo it."""

    node: str
    output: Output
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A running node failed. `transient`: the same again may succeed."""

    node: str
    message: str
    transient: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """A running node ended because of Stop."""

    node: str


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The delay asked for by RetryLater is over."""

    node: str


@dataclass(frozen=True, slots=True)
class Abort:
    """The user or the daemon wants the run to end: undo what was begun."""

    reason: str


Event: TypeAlias = Begin | LookedUp | Finished | Failed | Stopped | RetryDue | Abort


@dataclass(frozen=True, slots=True)
class Lookup:
    """See whether the output of this action is remembered; answer with LookedUp."""

    node: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Execute:
    """Run the node; answer with Finished, Failed or Stopped. `digest` is None for a release node."""

    node: str
    digest: Digest | None
    attempt: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Cancel the running node; it answers with Stopped, or with Finished or Failed if it was just ending."""

    node: str


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Answer with RetryDue after a delay that grows with `attempt`."""

    node: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Conclude:
    """Every node is at its end. `keep`: what the run holds passes to the VM, though the run may have failed."""

    succeeded: bool
    keep: bool


Command: TypeAlias = Lookup | Execute | Stop | RetryLater | Conclude
