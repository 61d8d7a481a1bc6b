"""`vm.directory`: where a VM's disks, sockets, keys and logs are."""

from typing import ClassVar

from banger.model.action import Scope
from banger.store.scratch import remove_tree
from banger.tasks import Context, Effect


class VmDirectory(Effect[str], frozen=True, kw_only=True):
    """A directory named after the VM's id, mode 0700."""

    kind: ClassVar[str] = "vm.directory"
    version: ClassVar[int] = 2
    scope: ClassVar[Scope] = Scope.VM
    vm: str

    async def probe(self, ctx: Context, value: str) -> bool:
        """Whether it is there."""
        return ctx.vm_dir(self.vm).is_dir()

    async def apply(self, ctx: Context) -> str:
        """Make it."""
        ctx.vm_dir(self.vm).mkdir(mode=0o700, exist_ok=True)
        return self.vm

    async def undo(self, ctx: Context, value: str | None) -> None:
        """Remove it with all that is in it."""
        remove_tree(ctx.vm_dir(self.vm), below=ctx.state.vms_dir)
