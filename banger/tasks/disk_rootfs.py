"""`disk.rootfs`: a VM's root disk, a qcow2 overlay on the image that all its VMs share."""

from typing import ClassVar

from banger.model.action import Scope
from banger.model.errors import HostError
from banger.model.handles import RootDisk
from banger.tasks import Context, Effect, File, Ref
from banger.vm.disks import check_overlay, create_overlay

FILE_NAME = "root.qcow2"


class DiskRootfs(Effect[RootDisk], frozen=True, kw_only=True):
    """What the guest writes is in the overlay; the image below is never changed."""

    kind: ClassVar[str] = "disk.rootfs"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.VM
    vm: str
    directory: Ref[str]
    image: Ref[File]

    async def probe(self, ctx: Context, value: RootDisk) -> bool:
        """Whether the overlay is there and lies on this image."""
        try:
            size = check_overlay(ctx.vm_dir(self.vm) / value.file, ctx.path(ctx.value(self.image)))
        except HostError:
            return False
        return size == value.size_bytes

    async def apply(self, ctx: Context) -> RootDisk:
        """Make it, empty."""
        image = ctx.value(self.image)
        await create_overlay(ctx.path(image), ctx.vm_dir(self.vm) / FILE_NAME)
        return RootDisk(FILE_NAME, image.size)

    async def undo(self, ctx: Context, value: RootDisk | None) -> None:
        """Remove it, and with it all that the guest wrote outside /root."""
        (ctx.vm_dir(self.vm) / FILE_NAME).unlink(missing_ok=True)
