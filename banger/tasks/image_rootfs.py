"""`image.rootfs`: the root disk that all VMs of an image share, as an ext4 image."""

from typing import ClassVar

from banger.debian.values import RootTar
from banger.ext4 import ExtraEntry, ImageOptions
from banger.ext4.child import write_image_in_child
from banger.guest.files import DIRECTORIES, GUEST_FILES, REMOVED_GLOBS
from banger.model.action import Needs
from banger.model.digest import digest_of
from banger.tasks import Build, Context, File, Ref

_DEADLINE_S = 600.0
_MODES = {"/tmp": 0o1777, "/root": 0o755}  # noqa: S108 - the guest's


class BuildRootfs(Build[File], frozen=True, kw_only=True):
    """With banger's own files in it; without host keys, and without /root, which is on the work disk."""

    kind: ClassVar[str] = "image.rootfs"
    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(pools=(("cpu", 1), ("disk", 1)))
    deadline_s: ClassVar[int] = int(_DEADLINE_S) + 10
    tar: Ref[RootTar]

    async def build(self, ctx: Context) -> File:
        """Write it. Raises SpecError that names the tar's entry which cannot be written."""
        source, dest = ctx.value(self.tar), ctx.scratch / "rootfs.ext4"
        identity = bytes.fromhex(digest_of("image.rootfs", source.tar.digest).removeprefix("sha256:"))
        options = ImageOptions(
            uuid=identity[:16],
            hash_seed=identity[16:],
            label="banger-root",
            time=source.newest,
            remove=("root/**", *(_relative(path) for path in REMOVED_GLOBS)),
            extra=(
                *(ExtraEntry(_relative(path), _MODES.get(path, 0o755), kind="dir") for path in DIRECTORIES),
                *(ExtraEntry(_relative(one.path), one.mode, content=one.content) for one in GUEST_FILES),
            ),
        )
        await write_image_in_child(ctx.path(source.tar), dest, options, deadline_s=_DEADLINE_S)
        return await ctx.keep_large(dest)


def _relative(path: str) -> str:
    return path.removeprefix("/")
