"""The states of a VM and every move between them: one table, one function, and an error that says what is possible."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from banger.model.errors import ConflictError


class VmState(StrEnum):
    """What a VM is doing, as it is shown and recorded."""

    CREATING = "creating"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    DELETING = "deleting"


class VmMove(StrEnum):
    """What happens to a VM: the first five are asked for, the others are observed."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    DELETE = "delete"
    CREATED = "created"
    STARTED = "started"
    EXITED = "exited"
    """Its VMM has ended: by `stop`, by the guest's own power-off, or by its death."""
    BROKE = "broke"
    """An operation on it failed, and what there is of it has been released."""


_S, _M = VmState, VmMove
TRANSITIONS: Mapping[VmState, Mapping[VmMove, VmState]] = MappingProxyType(
    {
        _S.CREATING: {_M.CREATED: _S.STOPPED, _M.START: _S.STARTING, _M.DELETE: _S.DELETING, _M.BROKE: _S.FAILED},
        # A VMM that ends before the guest was ready is a failure, whoever ended it; a stop asked for is not.
        _S.STARTING: {
            _M.STARTED: _S.RUNNING,
            _M.STOP: _S.STOPPING,
            _M.DELETE: _S.DELETING,
            _M.EXITED: _S.FAILED,
            _M.BROKE: _S.FAILED,
        },
        _S.RUNNING: {
            _M.PAUSE: _S.PAUSED,
            _M.STOP: _S.STOPPING,
            _M.DELETE: _S.DELETING,
            _M.EXITED: _S.STOPPED,
            _M.BROKE: _S.FAILED,
        },
        # A paused guest cannot power itself off: its VMM has died.
        _S.PAUSED: {
            _M.RESUME: _S.RUNNING,
            _M.STOP: _S.STOPPING,
            _M.DELETE: _S.DELETING,
            _M.EXITED: _S.FAILED,
            _M.BROKE: _S.FAILED,
        },
        _S.STOPPING: {_M.DELETE: _S.DELETING, _M.EXITED: _S.STOPPED, _M.BROKE: _S.FAILED},
        _S.STOPPED: {_M.START: _S.STARTING, _M.DELETE: _S.DELETING, _M.BROKE: _S.FAILED},
        # `stop` clears what a failure may have left; `start` tries again on the same disks.
        _S.FAILED: {_M.START: _S.STARTING, _M.STOP: _S.STOPPING, _M.DELETE: _S.DELETING},
        # Deleting again takes up a deletion that was cut short. A VMM's end is what deletion brings about.
        _S.DELETING: {_M.DELETE: _S.DELETING, _M.EXITED: _S.DELETING, _M.BROKE: _S.FAILED},
    }
)

REQUESTS = frozenset({VmMove.START, VmMove.PAUSE, VmMove.RESUME, VmMove.STOP, VmMove.DELETE})

_NEXT_COMMAND: Mapping[VmState, str] = {
    VmState.CREATING: "banger vm show {name}",
    VmState.STARTING: "banger vm show {name}",
    VmState.RUNNING: "banger vm ssh {name}",
    VmState.PAUSED: "banger vm stop {name}",
    VmState.STOPPING: "banger vm show {name}",
    VmState.STOPPED: "banger vm start {name}",
    VmState.FAILED: "banger vm logs {name}",
    VmState.DELETING: "banger vm delete {name}",
}


def next_state(state: VmState, move: VmMove, *, name: str) -> VmState:
    """Return the state that a move leads to.

    Raises ConflictError if a request cannot be met in that state, with what can be and the next command to type.
    An observation that cannot be is a bug of banger: AssertionError.
    """
    after = TRANSITIONS[state].get(move)
    if after is not None:
        return after
    assert move in REQUESTS, f"VM {name}: observed {move!r} while {state}"
    possible = " or ".join(request.value for request in VmMove if request in allowed_requests(state))
    raise ConflictError(
        f"VM {name} is {state}: it cannot {move}; it can {possible}", hint=_NEXT_COMMAND[state].format(name=name)
    )


def allowed_requests(state: VmState) -> frozenset[VmMove]:
    """Return what may be asked of a VM in a state."""
    return REQUESTS & TRANSITIONS[state].keys()
