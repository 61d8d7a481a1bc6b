"""Hold another process by pidfd: recognise it, wait for its end, signal it; never by a bare process number.

A process number is used again after its process has ended, so a number read from a record is a guess. The kernel's
start time of that number (proc(5), /proc/<pid>/stat field 22) together with the boot id decides whether it is still
the same process; the pidfd, opened before that is checked, keeps the answer true from then on (pidfd_open(2)).
"""

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio

from banger.model.errors import HostError

_START_TIME_FIELD = 22
_FIRST_FIELD_AFTER_NAME = 3
_ZOMBIE_STATES = frozenset({"Z", "X"})


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process as it can be written down: `start_ticks` is clock ticks from this boot to its start."""

    pid: int
    start_ticks: int
    boot_id: str


def boot_id() -> str:
    """Return the kernel's random name of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of a running process; None if there is none, or only its unreaped remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name (field 2) may hold spaces and brackets of its own: fields are counted from the last bracket.
    fields = stat[stat.rindex(b")") + 1 :].decode("ascii").split()
    if fields[0] in _ZOMBIE_STATES:
        return None
    return ProcessIdentity(pid, int(fields[_START_TIME_FIELD - _FIRST_FIELD_AFTER_NAME]), boot_id())


def is_alive(identity: ProcessIdentity) -> bool:
    """Say whether that very process still runs; reaps it if it was ours and has ended."""
    with open_process(identity) as process:
        return process is not None


class Pidfd:
    """One process, held. Made by `open_process`; the descriptor closes with its block."""

    def __init__(self, identity: ProcessIdentity, descriptor: int) -> None:
        self.identity = identity
        self._descriptor = descriptor

    def has_ended(self) -> bool:
        """Say whether the process has ended (its descriptor is readable from then on)."""
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        return bool(poller.poll(0))

    async def wait(self, deadline_s: float) -> bool:
        """Wait until the process has ended; False if it still runs after `deadline_s` seconds.

        A child of ours is reaped, so that it does not stay as a zombie.
        """
        if not self.has_ended():
            with anyio.move_on_after(deadline_s) as scope:
                await anyio.wait_readable(self._descriptor)
            if scope.cancelled_caught and not self.has_ended():
                return False
        self._reap()
        return True

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to this very process; False if it has ended already. Raises HostError if not allowed."""
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return False
        except PermissionError as error:
            raise HostError(f"process {self.identity.pid}: {number.name} not permitted") from error
        return True

    def _reap(self) -> None:
        # Not our child after a restart of the daemon: then init reaps it.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self._descriptor, os.WEXITED | os.WNOHANG)


@contextlib.contextmanager
def open_process(identity: ProcessIdentity) -> Iterator[Pidfd | None]:
    """Hold the process that `identity` names for the length of a block; None if it has ended.

    A different process that has been given the same number since is None too.
    """
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        process = Pidfd(identity, descriptor)
        # Checked after the open: whoever the number meant before it, the descriptor can now mean nobody else.
        if identify(identity.pid) == identity:
            yield process
        else:
            if process.has_ended():
                process._reap()  # noqa: SLF001 - the remains of a child of ours
            yield None
    finally:
        os.close(descriptor)
