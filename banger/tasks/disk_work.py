"""`disk.work`: a VM's /root, a copy of the work seed grown to the size that the user asked for."""

from typing import ClassVar

import anyio.to_thread

from banger.ext4.grow import clone_sparse, grow
from banger.model.action import Needs, Scope
from banger.model.handles import WorkDisk
from banger.tasks import Context, Effect, File, Ref

FILE_NAME = "work.raw"


class DiskWork(Effect[WorkDisk], frozen=True, kw_only=True):
    """Sparse: it takes what the guest writes, not its size."""

    kind: ClassVar[str] = "disk.work"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.VM
    needs: ClassVar[Needs] = Needs(pools=(("disk", 1),))
    vm: str
    size_bytes: int
    directory: Ref[str]
    seed: Ref[File]

    async def probe(self, ctx: Context, value: WorkDisk) -> bool:
        """Whether a disk of that size is there. What is on it is the user's."""
        path = ctx.vm_dir(self.vm) / value.file
        return path.is_file() and path.stat().st_size == value.size_bytes

    async def apply(self, ctx: Context) -> WorkDisk:
        """Copy the seed and grow it; the disk gets its name only when it is whole."""
        made = ctx.scratch / FILE_NAME
        seed = await anyio.to_thread.run_sync(ctx.path, ctx.value(self.seed))  # may have to digest it
        await clone_sparse(seed, made)
        made.chmod(0o600)
        await grow(made, self.size_bytes)
        made.rename(ctx.vm_dir(self.vm) / FILE_NAME)
        return WorkDisk(FILE_NAME, self.size_bytes)

    async def undo(self, ctx: Context, value: WorkDisk | None) -> None:
        """Remove it, and with it the user's files in the VM."""
        (ctx.vm_dir(self.vm) / FILE_NAME).unlink(missing_ok=True)
