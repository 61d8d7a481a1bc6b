"""`disk.rootfs`: a VM's root disk, a qcow2 overlay on the image that all its VMs share."""

from typing import ClassVar

import anyio.to_thread

from banger.model.action import Scope
from banger.model.errors import HostError, StoreError, TemplateError
from banger.model.handles import FrozenDisks, FrozenVm, RootDisk
from banger.tasks import Context, Effect, File, Ref
from banger.vm.disks import check_overlay, create_overlay, lay_delta

FILE_NAME = "root.qcow2"


class DiskRootfs(Effect[RootDisk], frozen=True, kw_only=True):
    """What the guest writes is in the overlay; the image below is never changed."""

    kind: ClassVar[str] = "disk.rootfs"
    version: ClassVar[int] = 3
    scope: ClassVar[Scope] = Scope.VM
    vm: str
    directory: Ref[str]
    image: Ref[File]
    template: Ref[FrozenVm] | None = None
    setup: Ref[FrozenDisks] | None = None
    """What has prepared the disk; a template's disk has that in it already."""

    async def probe(self, ctx: Context, value: RootDisk) -> bool:
        """Whether the overlay is there and lies on this image."""
        try:
            size = check_overlay(ctx.vm_dir(self.vm) / value.file, ctx.path(ctx.value(self.image)))
        except HostError:
            return False
        return size == value.size_bytes

    async def apply(self, ctx: Context) -> RootDisk:
        """Make it: empty, or with what an earlier guest wrote. Raises TemplateError if a template's is damaged."""
        image, dest = ctx.value(self.image), ctx.vm_dir(self.vm) / FILE_NAME
        base = await anyio.to_thread.run_sync(ctx.path, image)  # may have to digest it
        if self.template is None and self.setup is None:
            await create_overlay(base, dest)
        elif self.template is None:
            assert self.setup is not None
            delta = await anyio.to_thread.run_sync(ctx.path, ctx.value(self.setup).root)
            await anyio.to_thread.run_sync(lay_delta, delta, base, dest)
        else:
            try:
                delta = ctx.path(ctx.value(self.template).disk)
            except StoreError as error:
                raise TemplateError(error.message) from error
            # A copy of a megabyte or two, so that the VM outlives its template.
            await anyio.to_thread.run_sync(lay_delta, delta, base, dest)
        return RootDisk(FILE_NAME, image.size)

    async def undo(self, ctx: Context, value: RootDisk | None) -> None:
        """Remove it, and with it all that the guest wrote outside /root."""
        (ctx.vm_dir(self.vm) / FILE_NAME).unlink(missing_ok=True)
