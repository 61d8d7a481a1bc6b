"""`image.import`: a disk of an image that the user has registered, taken into the cache from the user's file."""

import os
import stat
from pathlib import Path
from typing import ClassVar

import anyio.to_thread

from banger.ext4.grow import check_ext4, clone_sparse
from banger.model.action import Needs
from banger.model.errors import NotFoundError, SpecError
from banger.tasks import Context, File, Query


class ImportDisk(Query[File], frozen=True, kw_only=True):
    """The stamp changes with the file; what is in the cache stays as it was."""

    kind: ClassVar[str] = "image.import"
    version: ClassVar[int] = 1
    ttl_s: ClassVar[int] = 10 * 365 * 24 * 3600
    needs: ClassVar[Needs] = Needs(pools=(("disk", 1),))
    deadline_s: ClassVar[int] = 3600
    path: str
    stamp: str

    async def ask(self, ctx: Context) -> File:
        """Copy it. Raises NotFoundError, SpecError if it is no ext4 image, HostError."""
        source, copy = Path(self.path), ctx.scratch / "disk"
        await anyio.to_thread.run_sync(_check, source)
        await clone_sparse(source, copy)
        return await anyio.to_thread.run_sync(ctx.keep, copy)


def _check(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise NotFoundError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode) or status.st_size % 512 or not os.access(path, os.R_OK):
        raise SpecError(f"{path}: is not an image file that can be read, in whole sectors")
    check_ext4(path)
