"""Stop a machine as gently as it lets itself be stopped, within a bounded time: one rung after another of a ladder."""

import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import anyio

from banger.host.pidfd import Pidfd, ProcessIdentity, open_process
from banger.model.errors import BangerError, HostError

AGENT_DEADLINE_S = 15.0
POWER_BUTTON_DEADLINE_S = 5.0
QUIT_DEADLINE_S = 3.0
KILL_DEADLINE_S = 5.0
_REQUEST_DEADLINE_S = 2.0
_GRACE_S = 0.5


class StoppedBy(StrEnum):
    """What ended the machine."""

    NOTHING = "nothing"
    """It had ended already."""
    AGENT = "agent"
    POWER_BUTTON = "power button"
    QUIT = "quit"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to ask for the end: make `request`, then give the machine `deadline_s` seconds, both together."""

    by: StoppedBy
    request: Callable[[], Awaitable[object]]
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """How a machine ended, after how long, and which rungs failed before with what."""

    by: StoppedBy
    took_s: float
    failures: tuple[str, ...] = ()


async def stop(identity: ProcessIdentity, ladder: Sequence[Rung]) -> Stopped:
    """Climb the ladder until the process has ended; at its top the process is killed through its pidfd.

    A request that fails or does not return is recorded, not raised: the next rung is tried. Raises HostError if the
    process is there even after the kill.
    """
    began = time.monotonic()
    failures: list[str] = []
    with open_process(identity) as process:
        if process is None:
            return Stopped(StoppedBy.NOTHING, 0.0)
        for rung in ladder:
            failure = await _climb(process, rung)
            if process.has_ended():
                await process.wait(0)
                return Stopped(rung.by, time.monotonic() - began, tuple(failures))
            failures.append(f"{rung.by}: {failure}")
        await _kill(process)
    return Stopped(StoppedBy.KILL, time.monotonic() - began, tuple(failures))


async def kill(identity: ProcessIdentity) -> Stopped:
    """End the process at once: a power cut to its guest. Raises as `stop` does."""
    return await stop(identity, ())


async def _climb(process: Pidfd, rung: Rung) -> str:
    """Try one rung; return why the process has not ended, which is of no meaning if it has."""
    failure = f"still running after {rung.deadline_s:g} s"
    ends_at = anyio.current_time() + rung.deadline_s
    with anyio.move_on_after(min(rung.deadline_s, _REQUEST_DEADLINE_S)) as asking:
        try:
            await rung.request()
        except (BangerError, OSError) as error:
            # A machine that ends at once may cut off its own answer.
            await process.wait(_GRACE_S)
            return str(error)
    if asking.cancelled_caught:
        # Who does not even answer is not waited for: the next rung does not need it.
        await process.wait(min(_GRACE_S, max(0.0, ends_at - anyio.current_time())))
        return "no answer"
    await process.wait(max(0.0, ends_at - anyio.current_time()))
    return failure


async def _kill(process: Pidfd) -> None:
    # Shielded: whoever asked may be gone, but a process half killed helps nobody.
    with anyio.CancelScope(shield=True):
        process.send(signal.SIGKILL)
        if not await process.wait(KILL_DEADLINE_S):
            raise HostError(f"process {process.identity.pid}: still there {KILL_DEADLINE_S:g} s after SIGKILL")
