"""`kernel.resolve`: which kernel package a metapackage of Debian's stands for now."""

from typing import ClassVar

import msgspec

from banger.debian.archives import from_first
from banger.debian.resolve import resolve_kernel
from banger.debian.values import Lock
from banger.model.action import Needs
from banger.tasks import Context, Query

DEFAULT_PACKAGE = "linux-image-cloud-amd64"


class ResolveKernel(Query[Lock], frozen=True, kw_only=True):
    """A lock of one package, without its signed index: a new index with the same kernel changes nothing."""

    kind: ClassVar[str] = "kernel.resolve"
    version: ClassVar[int] = 2
    ttl_s: ClassVar[int] = 30 * 24 * 3600
    needs: ClassVar[Needs] = Needs(pools=(("apt", 1),), network=True)
    retries: ClassVar[int] = 2
    package: str = DEFAULT_PACKAGE

    async def ask(self, ctx: Context) -> Lock:
        """Ask the archive. Raises as `resolve_kernel` does."""
        lock = await from_first(lambda archive: resolve_kernel(archive, self.package, ctx.state.apt_dir))
        return msgspec.structs.replace(lock, releases=())
