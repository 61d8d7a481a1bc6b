"""`kernel.download`: a kernel's bundle, as the sha256 in its catalog says."""

import os
from typing import ClassVar

from banger.kernels.catalog import load_catalog
from banger.model.action import Needs
from banger.model.digest import Digest
from banger.oci.blobs import BlobDir
from banger.oci.registry import RegistrySettings
from banger.oci.values import Layer
from banger.oci.web import fetch_file
from banger.tasks import Build, Context, File, Progress


class DownloadKernel(Build[File], frozen=True, kw_only=True):
    """Where it came from makes no difference to the bytes, so no URL is a parameter: the catalog knows them."""

    kind: ClassVar[str] = "kernel.download"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("net", 1),), network=True)
    deadline_s: ClassVar[int] = 3600
    digest: Digest
    size: int

    async def build(self, ctx: Context) -> File:
        """Fetch it, from where a cut left it. Raises as `fetch_file` does."""
        urls = load_catalog(os.environ).places(self.digest.removeprefix("sha256:"))
        blobs = BlobDir(ctx.state.downloads_dir)
        settings = RegistrySettings(environ=dict(os.environ))
        bundle = Layer(self.digest, self.size, "", self.digest)

        def tell(done: int, total: int) -> None:
            ctx.report(Progress(done, total))

        return ctx.keep(await fetch_file(urls, bundle, blobs, settings, ctx.state.clock, tell))
