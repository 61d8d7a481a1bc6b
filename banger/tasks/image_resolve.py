"""`image.resolve`: which packages the image is made of now, and where its guests will find more."""

from typing import ClassVar

import msgspec

from banger.debian.archives import from_first
from banger.debian.mirror import sources_text
from banger.debian.recipe import PACKAGES
from banger.debian.resolve import resolve
from banger.debian.values import Archive, PinnedImage
from banger.model.action import Needs
from banger.tasks import Context, Query


class ResolveImage(Query[PinnedImage], frozen=True, kw_only=True):
    """The signed index is left out of the answer: a new index with the same packages makes no new image."""

    kind: ClassVar[str] = "image.resolve"
    version: ClassVar[int] = 1
    ttl_s: ClassVar[int] = 30 * 24 * 3600
    needs: ClassVar[Needs] = Needs(pools=(("apt", 1),), network=True)
    retries: ClassVar[int] = 2
    packages: tuple[str, ...] = PACKAGES

    async def ask(self, ctx: Context) -> PinnedImage:
        """Ask the archive. Raises as `resolve` does."""

        async def attempt(archive: Archive) -> PinnedImage:
            lock = await resolve(archive, self.packages, ctx.state.apt_dir)
            return PinnedImage(msgspec.structs.replace(lock, releases=()), sources_text(archive))

        return await from_first(attempt)
