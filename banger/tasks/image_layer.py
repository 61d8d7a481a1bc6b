"""`image.layer`: the blob of one layer of a container image."""

from typing import ClassVar

import anyio.to_thread

from banger.model.action import Needs
from banger.model.digest import Digest
from banger.oci import BlobDir, Layer
from banger.oci.here import source_here
from banger.oci.values import OCI_LAYER_TAR
from banger.tasks import Aside, Build, Context, File, Progress


class FetchLayer(Build[File], frozen=True, kw_only=True):
    """Known by its digest alone: a layer that another image had, from wherever, is there already.

    What a cut leaves of it stays below `layers/` in the state directory, and the next try goes on from its end.
    """

    kind: ClassVar[str] = "image.layer"
    version: ClassVar[int] = 1
    # Four layers at once of the eight transfers that there may be: registries count on about as many.
    needs: ClassVar[Needs] = Needs(pools=(("net", 2),), network=True)
    deadline_s: ClassVar[int] = 4 * 3600
    digest: str
    size: int
    source: Aside[str]

    async def build(self, ctx: Context) -> File:
        """Fetch it, or take the object that is there. Raises as `ImageSource.fetch`."""
        digest = Digest(self.digest)
        if not await anyio.to_thread.run_sync(_is_sound, ctx, digest):
            # How it is packed makes no difference to who fetches it, and is no part of its identity.
            layer = Layer(digest, self.size, OCI_LAYER_TAR, digest)
            blobs = BlobDir(ctx.state.layers_dir)
            source = source_here(self.source.value, ctx.state.clock)
            (path,) = await source.fetch([layer], blobs, lambda done, total: ctx.report(Progress(done, total)))
            await anyio.to_thread.run_sync(lambda: ctx.state.cas.adopt(path, expected=digest))
        return File(digest, self.size)


def _is_sound(ctx: Context, digest: Digest) -> bool:
    """Whether the object is there; one that was not looked at in this boot is read."""
    return ctx.state.cas.has(digest) and (ctx.state.cas.is_verified(digest) or bool(ctx.state.cas.path(digest)))
