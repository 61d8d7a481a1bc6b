"""`kernel.unpack`: the bzImage and the modules, out of their package."""

from typing import ClassVar

import anyio.to_thread

from banger.debian.kernel import extract_kernel
from banger.model.action import Needs
from banger.model.handles import KernelFiles
from banger.tasks import Build, Context, File, Ref


class UnpackKernel(Build[KernelFiles], frozen=True, kw_only=True):
    """Nothing is installed, and no path of the package becomes one of this machine."""

    kind: ClassVar[str] = "kernel.unpack"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("cpu", 1),))
    package: Ref[File]

    async def build(self, ctx: Context) -> KernelFiles:
        """Take them out. Raises HostError if it is no kernel package."""
        image, modules = ctx.scratch / "bzimage", ctx.scratch / "modules.tar"
        release = await anyio.to_thread.run_sync(extract_kernel, ctx.path(ctx.value(self.package)), image, modules)
        return KernelFiles(release, await ctx.keep_large(image), await ctx.keep_large(modules))
