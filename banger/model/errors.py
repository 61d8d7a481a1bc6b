"""Every error that banger raises on purpose, cut by who must act.

A message names the thing and the reason; ``hint`` is the next command to type, where there is one. Only ``cli/`` turns
an error into text on a terminal and an exit status; over a socket it travels as ``code``, ``message`` and ``hint``.
"""

from typing import ClassVar


class BangerError(Exception):
    """The base of them all."""

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.node: str | None = None
        """Of a run that failed: the node that did so first."""


class SpecError(BangerError):
    """What the user asked for cannot be: the user changes the request."""

    code = "spec"


class NotFoundError(SpecError):
    """The user named something that is not there."""

    code = "not_found"


class ConflictError(SpecError):
    """The request clashes with what is there: a name in use, a VM in the wrong state."""

    code = "conflict"


class HostError(BangerError):
    """The machine refused: a missing tool, no space, a kernel without a feature."""

    code = "host"


class NoSpaceError(HostError):
    """There is no room left where banger writes; the cache can give some back."""


class TransientError(HostError):
    """The same call may succeed a little later: a network fault, a port just taken."""

    code = "transient"


class TemplateError(HostError):
    """A frozen VM is damaged, or the VMM does not take it: nothing is wrong that a boot would not mend."""

    code = "template"


class DeadlineError(HostError):
    """A wait ended at its deadline."""

    code = "deadline"


class GuestError(BangerError):
    """The guest answered wrongly, or not at all."""

    code = "guest"


class ActionError(BangerError):
    """A node of the graph failed; the message begins with its name."""

    code = "action"


class StoreError(BangerError):
    """Stored content is missing or is not what its digest says."""

    code = "store"
    exit_status = 2


class MissingError(StoreError):
    """An object is not in the CAS: to be made again."""


class DamagedError(StoreError):
    """An object was not what its digest says. It has been put aside, so that what comes next is a miss."""


class DaemonError(BangerError):
    """The daemon could not be reached, or broke the protocol."""

    code = "daemon"
    exit_status = 2
