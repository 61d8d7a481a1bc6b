"""`net.nat`: what a VM may reach beyond the bridge, and whether other VMs may reach it."""

from typing import ClassVar

from banger.host.worker import ask, release
from banger.model.action import Needs, Scope
from banger.model.handles import UserNet
from banger.tasks import Context, Effect, Ref
from banger.worker import wire


class NetNat(Effect[bool], frozen=True, kw_only=True):
    """`egress`: everything but what is closed to all VMs (docs/worker.md). `peers`: other VMs that have it too."""

    kind: ClassVar[str] = "net.nat"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.SESSION
    needs: ClassVar[Needs] = Needs(pools=(("worker", 1),), privileged=True)
    deadline_s: ClassVar[int] = 60
    retries: ClassVar[int] = 2
    vm: str
    egress: bool
    peers: bool
    net: Ref[UserNet]

    async def probe(self, ctx: Context, value: bool) -> bool:  # noqa: FBT001 - the shape of every probe
        """Ask the worker."""
        reply = await ask(lambda seq: wire.Probe(seq=seq, kind="nat", vm=self.vm))
        return isinstance(reply, wire.Alive) and reply.alive

    async def apply(self, ctx: Context) -> bool:
        """Have the rules changed."""
        await ask(lambda seq: wire.HoldNat(seq=seq, vm=self.vm, egress=self.egress, peers=self.peers, allow=()))
        return True

    async def undo(self, ctx: Context, value: bool | None) -> None:  # noqa: FBT001 - likewise
        """Have them changed back."""
        await release("nat", self.vm)
