"""`guest.agent`: wait until the guest's agent answers, which is before its network is up."""

from typing import ClassVar

import msgspec

from banger.host.pidfd import ProcessIdentity
from banger.model.handles import RunningVm
from banger.tasks import Context, Gate, Ref
from banger.vm import AGENT_SOCKET
from banger.vm.alive import while_alive

_DEADLINE_S = 180


class GuestAgent(Gate[dict[str, int]], frozen=True, kw_only=True):
    """Puts out when the guest reached each stage of its boot: ns on the guest's own clock since its kernel began."""

    kind: ClassVar[str] = "guest.agent"
    version: ClassVar[int] = 1
    deadline_s: ClassVar[int] = _DEADLINE_S
    vm: str
    boot: Ref[RunningVm]

    async def wait(self, ctx: Context) -> dict[str, int]:
        """Connect and say hello; the guest's reply is the proof."""
        booted = ctx.value(self.boot)
        socket = ctx.vm_dir(self.vm) / AGENT_SOCKET

        async def ask() -> dict[str, int]:
            agent = await ctx.agents.channel(socket, deadline_s=_DEADLINE_S)
            health = await agent.healthz()
            stages: dict[str, int | None] = msgspec.structs.asdict(health.stages_ns)
            return {name: at for name, at in stages.items() if at is not None}

        process = ProcessIdentity(booted.pid, booted.start_ticks, booted.boot_id)
        return await while_alive(process, ask, ctx.vm_dir(self.vm))
