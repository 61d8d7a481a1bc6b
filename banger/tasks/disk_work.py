"""`disk.work`: a VM's /root, a copy of the work seed grown to the size that the user asked for."""

from pathlib import Path
from typing import ClassVar

import anyio.from_thread
import anyio.to_thread

from banger.ext4.grow import clone_sparse, grow
from banger.host.packed import unpack
from banger.model.action import Needs, Scope
from banger.model.errors import StoreError
from banger.model.handles import FrozenDisks, FrozenVm, WorkDisk
from banger.tasks import Context, Effect, File, Ref

FILE_NAME = "work.raw"


class DiskWork(Effect[WorkDisk], frozen=True, kw_only=True):
    """Sparse: it takes what the guest writes, not its size."""

    kind: ClassVar[str] = "disk.work"
    version: ClassVar[int] = 2
    scope: ClassVar[Scope] = Scope.VM
    needs: ClassVar[Needs] = Needs(pools=(("disk", 1),))
    vm: str
    size_bytes: int
    directory: Ref[str]
    seed: Ref[File] | None = None
    setup: Ref[FrozenDisks] | None = None
    """What has prepared the disk: then it begins as that."""
    frozen: Ref[FrozenVm] | None = None
    """A VM of which this is a fork: then it is that one's disk."""

    async def probe(self, ctx: Context, value: WorkDisk) -> bool:
        """Whether a disk of that size is there. What is on it is the user's."""
        path = ctx.vm_dir(self.vm) / value.file
        return path.is_file() and path.stat().st_size == value.size_bytes

    async def apply(self, ctx: Context) -> WorkDisk:
        """Copy what it begins as, and grow it; the disk gets its name only when it is whole."""
        made = ctx.scratch / FILE_NAME
        packed = self._packed(ctx)
        if packed is None:
            assert self.seed is not None
            await clone_sparse(await _path(ctx, ctx.value(self.seed)), made)
        else:
            await anyio.to_thread.run_sync(unpack, await _path(ctx, packed), made, anyio.from_thread.check_cancelled)
        made.chmod(0o600)
        if self.frozen is None:  # otherwise it is mounted
            await grow(made, self.size_bytes, foreign=packed is not None)
        made.rename(ctx.vm_dir(self.vm) / FILE_NAME)
        return WorkDisk(FILE_NAME, self.size_bytes)

    def _packed(self, ctx: Context) -> File | None:
        """What an earlier guest wrote, if it begins as that. Raises StoreError for a fork without a work disk."""
        if self.setup is not None:
            return ctx.value(self.setup).work
        if self.frozen is None:
            return None
        work = ctx.value(self.frozen).work
        if work is None:
            raise StoreError("a template has no work disk")
        return work

    async def undo(self, ctx: Context, value: WorkDisk | None) -> None:
        """Remove it, and with it the user's files in the VM."""
        (ctx.vm_dir(self.vm) / FILE_NAME).unlink(missing_ok=True)


async def _path(ctx: Context, file: File) -> Path:
    return await anyio.to_thread.run_sync(ctx.path, file)  # may have to digest it
