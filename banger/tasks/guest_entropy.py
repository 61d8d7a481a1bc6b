"""`guest.entropy`: a restored guest's random numbers are its own, before anything in it needs one."""

import secrets
from typing import ClassVar

from banger.guest.protocol import SEED_BYTES
from banger.host.pidfd import ProcessIdentity
from banger.model.action import Scope
from banger.model.handles import RunningVm
from banger.tasks import Context, Effect, Ref
from banger.vm import AGENT_SOCKET
from banger.vm.alive import while_alive


class GuestEntropy(Effect[bool], frozen=True, kw_only=True):
    """All clones of a template wake up with the same generator; the agent says when it runs on from our seed."""

    kind: ClassVar[str] = "guest.entropy"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.SESSION
    deadline_s: ClassVar[int] = 30
    vm: str
    boot: Ref[RunningVm]

    async def probe(self, ctx: Context, value: bool) -> bool:  # noqa: FBT001 - what was put out
        """A guest does not forget its seed."""
        return value

    async def apply(self, ctx: Context) -> bool:
        """Send a seed that is in no record. Raises GuestError if the agent does not confirm it."""
        directory, booted = ctx.vm_dir(self.vm), ctx.value(self.boot)

        async def reseed() -> bool:
            agent = await ctx.agents.channel(directory / AGENT_SOCKET, deadline_s=self.deadline_s)
            await agent.reseed(secrets.token_bytes(SEED_BYTES))
            return True

        process = ProcessIdentity(booted.pid, booted.start_ticks, booted.boot_id)
        return await while_alive(process, reseed, directory)

    async def undo(self, ctx: Context, value: bool | None) -> None:  # noqa: FBT001 - what was put out
        """Goes with the guest."""
