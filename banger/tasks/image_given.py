"""`image.given`: the image on which an earlier VM's root disk lies, for the VMs that are forked from it."""

from typing import ClassVar

from banger.tasks import Context, File, Query


class GivenImage(Query[File], frozen=True, kw_only=True):
    """A value that is known already, as a node: the image may have been made anew since, and is not that one."""

    kind: ClassVar[str] = "image.given"
    version: ClassVar[int] = 1
    image: File

    async def ask(self, ctx: Context) -> File:
        """Hand it on."""
        return self.image
