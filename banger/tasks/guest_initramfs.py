"""`guest.initramfs`: our init and agent, and the modules between the kernel and its root disk."""

from typing import ClassVar

import anyio

from banger.guest.initramfs import build_initramfs, collect_modules
from banger.guest.moduletar import ModuleTar
from banger.model.handles import File, GuestPrograms, KernelFiles
from banger.tasks import Build, Context, Ref


class BuildInitramfs(Build[File], frozen=True, kw_only=True):
    """One archive for every machine type: the init loads what finds its bus."""

    kind: ClassVar[str] = "guest.initramfs"
    version: ClassVar[int] = 1
    kernel: Ref[KernelFiles]
    programs: Ref[GuestPrograms]

    async def build(self, ctx: Context) -> File:
        """Write the archive."""
        return await ctx.keep_large_bytes(await anyio.to_thread.run_sync(self._archive, ctx))

    def _archive(self, ctx: Context) -> bytes:
        programs = ctx.value(self.programs)
        with ModuleTar(ctx.path(ctx.value(self.kernel).modules)) as source:
            modules = collect_modules(source)
        return build_initramfs(
            modules, init=ctx.path(programs.init).read_bytes(), agent=ctx.path(programs.agent).read_bytes()
        )
