"""`image.bootstrap`: a Debian root filesystem, installed offline from exactly the packages that were fetched."""

from typing import ClassVar

from banger.debian.bootstrap import DEADLINE_S, bootstrap
from banger.debian.values import PinnedImage, RootTar
from banger.model.action import Needs
from banger.tasks import Build, Context, Progress, Ref, Tree


class BootstrapImage(Build[RootTar], frozen=True, kw_only=True):
    """The same packages give the same bytes, for root and for an ordinary user."""

    kind: ClassVar[str] = "image.bootstrap"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("cpu", 1),))
    deadline_s: ClassVar[int] = DEADLINE_S
    pinned: Ref[PinnedImage]
    packages: Ref[Tree]

    async def build(self, ctx: Context) -> RootTar:
        """Run mmdebstrap. Raises HostError with the end of its log."""
        pinned = ctx.value(self.pinned)
        debs = {name: ctx.path(file) for name, file in ctx.tree(ctx.value(self.packages)).items()}
        tar = ctx.scratch / "root.tar"

        def tell(done: int, total: int) -> None:
            ctx.report(Progress(done, total, unit="items", text="packages set up"))

        newest = await bootstrap(debs, pinned.lock, tar, ctx.scratch / "work", tell, guest_sources=pinned.guest_sources)
        return RootTar(await ctx.keep_large(tar), newest)
