"""`image.packages`: the packages of an image, each as its sha256 says."""

from typing import ClassVar

from banger.debian.archives import from_first
from banger.debian.fetch import fetch
from banger.debian.values import PinnedImage
from banger.model.action import Needs
from banger.tasks import Build, Context, Progress, Ref, Tree


class FetchPackages(Build[Tree], frozen=True, kw_only=True):
    """A tree from package name to file. Which mirror they came from makes no difference to the bytes."""

    kind: ClassVar[str] = "image.packages"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("net", 1),), network=True)
    deadline_s: ClassVar[int] = 3600
    pinned: Ref[PinnedImage]

    async def build(self, ctx: Context) -> Tree:
        """Fetch them. Raises as `fetch` does."""
        pins = ctx.value(self.pinned).lock.packages

        def tell(done: int, total: int) -> None:
            ctx.report(Progress(done, total))

        debs = await from_first(lambda archive: fetch(archive, pins, ctx.scratch / "debs", tell))
        return await ctx.keep_large_tree(debs)
