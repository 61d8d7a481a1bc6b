"""`kernel.import`: a kernel that the user gave, looked at and made ready to boot."""

from typing import ClassVar

import anyio.to_thread

from banger.kernels.assemble import assemble, modules_of_initrd
from banger.kernels.modules import modules_in_tar
from banger.model.action import Needs
from banger.model.errors import MissingError, StoreError
from banger.model.handles import KernelFiles
from banger.tasks import Build, Context, File


class ImportKernel(Build[KernelFiles], frozen=True, kw_only=True):
    """The files are in the cache, so this is a function of their bytes. Modules come from the tar, then the initrd."""

    kind: ClassVar[str] = "kernel.import"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("cpu", 1),))
    image: File
    modules: File | None = None
    initrd: File | None = None

    async def build(self, ctx: Context) -> KernelFiles:
        """Check it. Raises SpecError for a kernel that no VM can boot from, StoreError if its files are lost."""
        try:
            return await anyio.to_thread.run_sync(self._make, ctx)
        except MissingError as error:
            hint = "banger kernel import, with the files that it was imported from"
            raise StoreError(f"an imported kernel has lost its files: {error.message}", hint=hint) from error

    def _make(self, ctx: Context) -> KernelFiles:
        sources = []
        if self.modules is not None:
            tar = ctx.path(self.modules)
            sources.append(lambda: modules_in_tar(tar))
        if self.initrd is not None:
            initrd = ctx.path(self.initrd)
            sources.append(lambda: modules_of_initrd(initrd, "the initrd"))
        out = ctx.scratch / "modules.tar"
        release = assemble(ctx.path(self.image), sources, out, "the kernel")
        return KernelFiles(release, self.image, ctx.keep(out))
