"""`image.find`: which image a reference means now, by the digest of its manifest for this platform."""

from typing import ClassVar

from banger.model.action import Needs
from banger.oci.here import source_here
from banger.tasks import Context, Query


class FindImage(Query[str], frozen=True, kw_only=True):
    """Asked every time: who does not want to know what a name means today takes the digest of the last time."""

    kind: ClassVar[str] = "image.find"
    version: ClassVar[int] = 1
    ttl_s: ClassVar[int] = 0
    needs: ClassVar[Needs] = Needs(pools=(("net", 1),), network=True)
    deadline_s: ClassVar[int] = 300
    source: str

    async def ask(self, ctx: Context) -> str:
        """Ask the registry, or look at the files. Raises as `ImageSource.resolve`."""
        return await source_here(self.source, ctx.state.clock).find()
