"""`guest.clock`: a restored guest's clock is right; it woke up at the time when its template was frozen."""

from typing import ClassVar

from banger.host.pidfd import ProcessIdentity
from banger.model.action import Scope
from banger.model.errors import GuestError
from banger.model.handles import RunningVm
from banger.tasks import Context, Effect, Ref
from banger.vm import AGENT_SOCKET
from banger.vm.alive import while_alive

_LARGEST_ERROR_S = 1.0
_NS = 1_000_000_000


class GuestClock(Effect[int], frozen=True, kw_only=True):
    """Puts out by how many nanoseconds the guest differed from the host once it was set: mostly the way there."""

    kind: ClassVar[str] = "guest.clock"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.SESSION
    deadline_s: ClassVar[int] = 30
    vm: str
    boot: Ref[RunningVm]

    async def probe(self, ctx: Context, value: int) -> bool:
        """A clock that was set goes on."""
        return True

    async def apply(self, ctx: Context) -> int:
        """Set it and read it back. Raises GuestError if it is not right then."""
        directory, booted, clock = ctx.vm_dir(self.vm), ctx.value(self.boot), ctx.state.clock

        async def set_time() -> int:
            agent = await ctx.agents.channel(directory / AGENT_SOCKET, deadline_s=self.deadline_s)
            guest = await agent.set_time(round(clock.wall() * _NS))
            return guest.time_ns - round(clock.wall() * _NS)

        process = ProcessIdentity(booted.pid, booted.start_ticks, booted.boot_id)
        error_ns = await while_alive(process, set_time, directory)
        if abs(error_ns) > _LARGEST_ERROR_S * _NS:
            raise GuestError(f"the guest's clock is {error_ns / _NS:+.1f} s off although it was set")
        return error_ns

    async def undo(self, ctx: Context, value: int | None) -> None:
        """Goes with the guest."""
