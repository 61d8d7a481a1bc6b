"""`guest.ssh`: wait until the guest's sshd listens, as its agent says; a connect from here would prove nothing."""

from typing import ClassVar

from banger.host.pidfd import ProcessIdentity
from banger.model.errors import DeadlineError
from banger.model.handles import RunningVm, UserNet
from banger.tasks import Context, Gate, Ref
from banger.vm import AGENT_SOCKET
from banger.vm.alive import while_alive

_DEADLINE_S = 120


class GuestSsh(Gate[int], frozen=True, kw_only=True):
    """Puts out the port at which it is met."""

    kind: ClassVar[str] = "guest.ssh"
    version: ClassVar[int] = 1
    deadline_s: ClassVar[int] = _DEADLINE_S + 5
    post_mortem: ClassVar[bool] = True
    vm: str
    name: str
    boot: Ref[RunningVm]
    net: Ref[UserNet]
    identity: Ref[str]

    async def wait(self, ctx: Context) -> int:
        """Ask the agent to say when. Raises DeadlineError that names the VM and the place to look."""
        booted = ctx.value(self.boot)

        async def ask() -> int:
            socket = ctx.vm_dir(self.vm) / AGENT_SOCKET
            agent = await ctx.agents.channel(socket, deadline_s=_DEADLINE_S)
            await agent.wait_ssh(deadline_s=_DEADLINE_S)
            return ctx.value(self.net).ssh_port

        process = ProcessIdentity(booted.pid, booted.start_ticks, booted.boot_id)
        try:
            return await while_alive(process, ask, ctx.vm_dir(self.vm))
        except DeadlineError as error:
            raise DeadlineError(f"{self.name}: {error.message}", hint=f"banger vm logs {self.name}") from error
