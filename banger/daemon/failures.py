"""Turn what was raised into what a client may see: code, message, hint. Never a traceback."""

import logging
from dataclasses import dataclass, field

from banger.model.errors import BangerError

log = logging.getLogger(__name__)

HTTP_STATUS = {"not_found": 404, "conflict": 409, "spec": 422, "transient": 503, "deadline": 504}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error on the wire. `others`: messages of further errors that were collected beside the first."""

    code: str
    message: str
    hint: str | None = None
    exit_status: int = 1
    others: list[str] = field(default_factory=list)

    @property
    def http_status(self) -> int:
        """The HTTP status that goes with the code; 500 where no other fits."""
        return HTTP_STATUS.get(self.code, 500)


CANCELLED = Failure("cancelled", "cancelled", exit_status=130)


def describe(error: BaseException, what: str) -> Failure:
    """Say what went wrong in `what`. Anything but a BangerError is a bug in banger: its traceback goes to the log."""
    leaves = list(_leaves(error))
    known = [leaf for leaf in leaves if isinstance(leaf, BangerError)]
    unknown = [leaf for leaf in leaves if not isinstance(leaf, BangerError)]
    for leaf in unknown:
        log.error("%s: unexpected %s", what, type(leaf).__name__, exc_info=leaf)
    messages = [leaf.message for leaf in known] + [_bug(leaf) for leaf in unknown]
    if not known:
        return Failure("internal", messages[0], hint="banger daemon status", exit_status=70, others=messages[1:])
    first = known[0]
    return Failure(first.code, first.message, first.hint, first.exit_status, messages[1:])


def _leaves(error: BaseException) -> "list[BaseException]":
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _bug(error: BaseException) -> str:
    return f"a bug in banger ({type(error).__name__}); the daemon's log has the details"
