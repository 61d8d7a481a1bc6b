"""`vm.record`: the VM's name is taken."""

from typing import ClassVar

from banger.model.action import Scope
from banger.model.vm import VmRequest
from banger.tasks import Context, Effect


class VmRecord(Effect[str], frozen=True, kw_only=True):
    """First of a VM's leases, and so the last to go: as long as anything of the VM is there, it is listed."""

    kind: ClassVar[str] = "vm.record"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.VM
    vm: str
    name: str
    request: VmRequest

    async def probe(self, ctx: Context, value: str) -> bool:
        """Whether the name is still this VM's."""
        return value in ctx.state.vms.names()

    async def apply(self, ctx: Context) -> str:
        """Take the name. Raises ConflictError if another VM has it."""
        ctx.state.vms.add(self.vm, self.name, self.request)
        return self.name

    async def undo(self, ctx: Context, value: str | None) -> None:
        """Give the name back."""
        ctx.state.vms.remove(self.vm)
