"""`kernel.source`: the files that a user gave as a kernel, taken into the cache as they are."""

import os
import shutil
import stat
from pathlib import Path
from typing import ClassVar

import anyio.to_thread

from banger.kernels.assemble import IMAGE_LARGEST_BYTES
from banger.kernels.initrd import INITRD_LARGEST_BYTES
from banger.kernels.modules import modules_below, write_tar
from banger.model.action import Needs
from banger.model.errors import SpecError
from banger.model.kernel import ImportRequest
from banger.model.kernel_source import ImportedKernel
from banger.tasks import Context, File, Query


class ReadKernelSource(Query[ImportedKernel], frozen=True, kw_only=True):
    """Asked anew each time: what lies at a path may be another file by now."""

    kind: ClassVar[str] = "kernel.source"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("disk", 1),))
    deadline_s: ClassVar[int] = 600
    request: ImportRequest

    async def ask(self, ctx: Context) -> ImportedKernel:
        """Copy them. Raises SpecError for what cannot be read or is too large."""
        return await anyio.to_thread.run_sync(self._take, ctx)

    def _take(self, ctx: Context) -> ImportedKernel:
        request, modules = self.request, None
        image = ctx.keep(_copy(Path(request.image), ctx.scratch / "image", IMAGE_LARGEST_BYTES))
        if request.modules is not None:
            tar = ctx.scratch / "modules.tar"
            write_tar(tar, "given", modules_below(Path(request.modules)))
            modules = ctx.keep(tar)
        initrd: File | None = None
        if request.initrd is not None:
            initrd = ctx.keep(_copy(Path(request.initrd), ctx.scratch / "initrd", INITRD_LARGEST_BYTES))
        return ImportedKernel(image, modules, initrd)


def _copy(source: Path, dest: Path, limit: int) -> Path:
    try:
        fd = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hold us up
        with os.fdopen(fd, "rb") as file, dest.open("xb") as copy:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise SpecError(f"{source}: not a file")
            if status.st_size > limit:
                raise SpecError(f"{source}: larger than {limit} bytes")
            shutil.copyfileobj(file, copy)
    except OSError as error:
        raise SpecError(f"{source}: {error.strerror}") from error
    return dest
