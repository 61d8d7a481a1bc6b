"""`image.disk`: one of the two disks of an image, for those who need no more."""

from typing import ClassVar, Literal

from banger.model.handles import ImageDisks
from banger.tasks import Build, Context, File, Ref


class TakeDisk(Build[File], frozen=True, kw_only=True):
    """Who is keyed by it does not mind how the other one was made."""

    kind: ClassVar[str] = "image.disk"
    version: ClassVar[int] = 1
    disks: Ref[ImageDisks]
    which: Literal["root", "work"]

    async def build(self, ctx: Context) -> File:
        """Take it."""
        disks = ctx.value(self.disks)
        return disks.rootfs if self.which == "root" else disks.seed
