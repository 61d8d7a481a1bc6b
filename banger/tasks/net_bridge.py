"""`net.bridge`: the bridge is there for as long as this VM, or another, needs it."""

from typing import ClassVar

from banger.host.worker import ask, release
from banger.model.action import Needs, Scope
from banger.tasks import Context, Effect
from banger.worker import wire


class NetBridge(Effect[bool], frozen=True, kw_only=True):
    """Each VM has a lease of its own on the one bridge; the worker removes it with the last of them."""

    kind: ClassVar[str] = "net.bridge"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.SESSION
    needs: ClassVar[Needs] = Needs(pools=(("worker", 1),), privileged=True)
    deadline_s: ClassVar[int] = 60
    retries: ClassVar[int] = 2
    vm: str

    async def probe(self, ctx: Context, value: bool) -> bool:  # noqa: FBT001 - the shape of every probe
        """Ask the worker."""
        reply = await ask(lambda seq: wire.Probe(seq=seq, kind="bridge", vm=self.vm))
        return isinstance(reply, wire.Alive) and reply.alive

    async def apply(self, ctx: Context) -> bool:
        """Have it made, if it is not there."""
        await ask(lambda seq: wire.HoldBridge(seq=seq, vm=self.vm))
        return True

    async def undo(self, ctx: Context, value: bool | None) -> None:  # noqa: FBT001 - likewise
        """Need it no more."""
        await release("bridge", self.vm)
