"""`kernel.fetch`: the kernel's package, as its sha256 says."""

from typing import ClassVar

from banger.debian.archives import from_first
from banger.debian.fetch import fetch
from banger.debian.values import Lock
from banger.model.action import Needs
from banger.tasks import Build, Context, File, Progress, Ref


class FetchKernel(Build[File], frozen=True, kw_only=True):
    """Which mirror it came from makes no difference to the bytes."""

    kind: ClassVar[str] = "kernel.fetch"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("net", 1),), network=True)
    deadline_s: ClassVar[int] = 1800
    lock: Ref[Lock]

    async def build(self, ctx: Context) -> File:
        """Fetch it. Raises as `fetch` does."""
        pins = ctx.value(self.lock).packages

        def tell(done: int, total: int) -> None:
            ctx.report(Progress(done, total, text=pins[0].name))

        files = await from_first(lambda archive: fetch(archive, pins, ctx.scratch / "debs", tell))
        return await ctx.keep_large(files[pins[0].name])
