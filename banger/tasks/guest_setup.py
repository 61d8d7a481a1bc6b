"""`guest.setup`: what a set-up has made beside its lock files, in the checkout that has arrived since."""

from typing import ClassVar

from banger.guest.preparing import join_checkout
from banger.host.pidfd import ProcessIdentity
from banger.model.action import Scope
from banger.model.handles import RunningVm
from banger.tasks import Context, Effect, Ref
from banger.vm import AGENT_SOCKET
from banger.vm.alive import while_alive


class GuestSetup(Effect[bool], frozen=True, kw_only=True):
    """Done once, when the VM is made. Where the checkout has a file, that one stays."""

    kind: ClassVar[str] = "guest.setup"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.SESSION
    deadline_s: ClassVar[int] = 300
    vm: str
    boot: Ref[RunningVm]

    async def probe(self, ctx: Context, value: bool) -> bool:  # noqa: FBT001 - what was put out
        """It stays on the work disk."""
        return value

    async def apply(self, ctx: Context) -> bool:
        """Move it there. Raises GuestError."""
        directory, booted = ctx.vm_dir(self.vm), ctx.value(self.boot)

        async def join() -> bool:
            agent = await ctx.agents.channel(directory / AGENT_SOCKET, deadline_s=self.deadline_s)
            await join_checkout(agent)
            return True

        return await while_alive(ProcessIdentity(booted.pid, booted.start_ticks, booted.boot_id), join, directory)

    async def undo(self, ctx: Context, value: bool | None) -> None:  # noqa: FBT001 - what was put out
        """Goes with the work disk."""
