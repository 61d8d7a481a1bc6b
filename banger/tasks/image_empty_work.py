"""`image.empty_work`: what a work disk begins as where an image says nothing of it: an empty file system."""

from pathlib import Path
from typing import ClassVar

from banger.ext4 import ImageOptions
from banger.layers.child import flatten
from banger.layers.options import Request
from banger.model.digest import digest_of
from banger.model.limits import DISK_BYTES
from banger.tasks import Build, Context, File


class BuildEmptyWork(Build[File], frozen=True, kw_only=True):
    """The same for every image."""

    kind: ClassVar[str] = "image.empty_work"
    version: ClassVar[int] = 1

    async def build(self, ctx: Context) -> File:
        """Write it."""
        dest: Path = ctx.scratch / "work.ext4"
        identity = bytes.fromhex(digest_of("image.empty_work", []).removeprefix("sha256:"))
        options = ImageOptions(
            uuid=identity[:16], hash_seed=identity[16:], label="banger-work", size_bytes=DISK_BYTES[0], root_mode=0o700
        )
        await flatten([], dest, Request(options), deadline_s=60)
        return ctx.keep(dest)
