"""`image.work_seed`: what a new VM's work disk begins as: the image's /root, in a small ext4 image that can grow."""

from typing import ClassVar

from banger.debian.values import RootTar
from banger.ext4 import ImageOptions
from banger.ext4.child import write_image_in_child
from banger.model.action import Needs
from banger.model.digest import digest_of
from banger.model.limits import DISK_BYTES
from banger.tasks import Build, Context, File, Ref

_DEADLINE_S = 300.0


class BuildWorkSeed(Build[File], frozen=True, kw_only=True):
    """As large as the smallest disk that a VM can have, and mostly holes: a VM's own is a copy, grown."""

    kind: ClassVar[str] = "image.work_seed"
    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(pools=(("disk", 1),))
    deadline_s: ClassVar[int] = int(_DEADLINE_S) + 10
    tar: Ref[RootTar]

    async def build(self, ctx: Context) -> File:
        """Write it. Raises SpecError if the image's /root does not fit."""
        source, dest = ctx.value(self.tar), ctx.scratch / "work.ext4"
        identity = bytes.fromhex(digest_of("image.work_seed", source.tar.digest).removeprefix("sha256:"))
        options = ImageOptions(
            uuid=identity[:16],
            hash_seed=identity[16:],
            label="banger-work",
            time=source.newest,
            size_bytes=DISK_BYTES[0],
            subtree="root",
            root_mode=0o755,
        )
        await write_image_in_child(ctx.path(source.tar), dest, options, deadline_s=_DEADLINE_S)
        return await ctx.keep_large(dest)
