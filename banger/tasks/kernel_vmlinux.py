"""`kernel.vmlinux`: the uncompressed kernel out of a bzImage, for VMMs that load nothing else."""

from typing import ClassVar

import anyio.to_thread

from banger.guest.kernel import extract_vmlinux
from banger.model.action import Needs
from banger.model.handles import KernelFiles
from banger.tasks import Build, Context, File, Ref


class ExtractVmlinux(Build[File], frozen=True, kw_only=True):
    """What the boot loader in the bzImage would unpack."""

    kind: ClassVar[str] = "kernel.vmlinux"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("cpu", 1),))
    kernel: Ref[KernelFiles]

    async def build(self, ctx: Context) -> File:
        """Unpack it. Raises HostError for a kernel of unknown form."""
        bzimage = ctx.path(ctx.value(self.kernel).bzimage)
        return await ctx.keep_large_bytes(await anyio.to_thread.run_sync(lambda: extract_vmlinux(bzimage.read_bytes())))
