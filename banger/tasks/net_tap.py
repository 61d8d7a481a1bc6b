"""`net.tap`: a VM's own place on the bridge, and the address that it has there."""

from typing import ClassVar

from banger.host.resolver import name_server
from banger.host.worker import ask, release
from banger.model.action import Needs, Scope
from banger.model.errors import HostError
from banger.model.handles import UserNet
from banger.tasks import Context, Effect, Ref
from banger.worker import wire

_SSH_PORT = 22


class NetTap(Effect[UserNet], frozen=True, kw_only=True):
    """The worker derives TAP, MAC address and (mostly the same) address from the VM's id."""

    kind: ClassVar[str] = "net.tap"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.SESSION
    needs: ClassVar[Needs] = Needs(pools=(("worker", 1),), privileged=True)
    deadline_s: ClassVar[int] = 60
    retries: ClassVar[int] = 2
    vm: str
    bridge: Ref[bool]

    async def probe(self, ctx: Context, value: UserNet) -> bool:
        """Ask the worker."""
        reply = await ask(lambda seq: wire.Probe(seq=seq, kind="tap", vm=self.vm))
        return isinstance(reply, wire.Alive) and reply.alive

    async def apply(self, ctx: Context) -> UserNet:
        """Have it made."""
        reply = await ask(lambda seq: wire.HoldTap(seq=seq, vm=self.vm))
        if not isinstance(reply, wire.Attached):
            raise HostError("the root worker made no TAP and does not say why", hint="sudo banger worker")
        return UserNet(
            ssh_port=_SSH_PORT,
            mac=reply.mac,
            tap=reply.tap,
            address=reply.address,
            prefix=reply.prefix,
            gateway=reply.gateway,
            name_server=name_server(),
        )

    async def undo(self, ctx: Context, value: UserNet | None) -> None:
        """Have it removed."""
        await release("tap", self.vm)
