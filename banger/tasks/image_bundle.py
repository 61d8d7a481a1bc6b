"""`image.bundle`: an image of a catalog as one file, as the sha256 there says."""

from typing import ClassVar

import anyio.to_thread

from banger.model.action import Needs
from banger.model.digest import Digest
from banger.oci.blobs import BlobDir
from banger.oci.catalog import catalog_here, places_of
from banger.oci.here import settings_here
from banger.oci.values import Layer
from banger.oci.web import fetch_file
from banger.tasks import Build, Context, File, Progress


class FetchBundle(Build[File], frozen=True, kw_only=True):
    """Where it came from makes no difference to the bytes, so no URL is a parameter: the catalog knows them."""

    kind: ClassVar[str] = "image.bundle"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("net", 1),), network=True)
    deadline_s: ClassVar[int] = 4 * 3600
    digest: str
    size: int

    async def build(self, ctx: Context) -> File:
        """Fetch it, from where a cut left it. Raises as `fetch_file` does."""
        digest = Digest(self.digest)
        file = Layer(digest, self.size, "", digest)
        path = await fetch_file(
            places_of(self.digest, catalog_here()),
            file,
            BlobDir(ctx.state.downloads_dir),
            settings_here(),
            ctx.state.clock,
            lambda done, total: ctx.report(Progress(done, total)),
        )
        return await anyio.to_thread.run_sync(ctx.keep, path)
