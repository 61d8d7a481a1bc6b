"""`image.stored`: a disk of an image that is in the cache under its name, however it was made."""

from typing import ClassVar

from banger.model.digest import Digest
from banger.model.errors import MissingError
from banger.tasks import Build, Context, File


class UseStored(Build[File], frozen=True, kw_only=True):
    """What is keyed by it cannot tell it from the node that made the disk. Nothing is asked and nothing fetched."""

    kind: ClassVar[str] = "image.stored"
    version: ClassVar[int] = 1
    digest: str
    size: int

    async def build(self, ctx: Context) -> File:
        """Look. Raises MissingError if it has gone since this was planned."""
        digest = Digest(self.digest)
        if not ctx.state.cas.has(digest):
            raise MissingError(f"a disk of this image is not in the cache any more: {digest}", hint="try again")
        return File(digest, self.size)
