"""`kernel.bundle`: the kernel out of a bundle, looked at and made ready to boot."""

from typing import ClassVar

import anyio.to_thread

from banger.kernels.bundle import unpack_bundle
from banger.model.action import Needs
from banger.model.handles import KernelFiles
from banger.tasks import Build, Context, File, Ref


class UnpackBundle(Build[KernelFiles], frozen=True, kw_only=True):
    """No path of the bundle becomes one of this machine."""

    kind: ClassVar[str] = "kernel.bundle"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("cpu", 1),))
    bundle: Ref[File]

    async def build(self, ctx: Context) -> KernelFiles:
        """Unpack it. Raises SpecError for what is no bundle, or no kernel that a VM can boot from."""
        return await anyio.to_thread.run_sync(self._unpack, ctx)

    def _unpack(self, ctx: Context) -> KernelFiles:
        image, modules = ctx.scratch / "image", ctx.scratch / "modules.tar"
        release = unpack_bundle(ctx.path(ctx.value(self.bundle)), ctx.scratch, image, modules, "the bundle")
        return KernelFiles(release, ctx.keep(image), ctx.keep(modules))
