"""`image.manifest`: what an image consists of, by the digest of its manifest."""

from typing import ClassVar

from banger.model.action import Needs
from banger.model.digest import Digest
from banger.model.handles import ImageLayer, PulledImage
from banger.oci.here import source_here
from banger.tasks import Aside, Build, Context, Ref


class ReadManifest(Build[PulledImage], frozen=True, kw_only=True):
    """Manifest and config are verified against the digest, so it makes no difference who sent them."""

    kind: ClassVar[str] = "image.manifest"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("net", 1),), network=True)
    deadline_s: ClassVar[int] = 300
    digest: Ref[str]
    source: Aside[str]

    async def build(self, ctx: Context) -> PulledImage:
        """Fetch and read them. Raises as `ImageSource.resolve`."""
        wanted = Digest(ctx.value(self.digest))
        manifest = await source_here(self.source.value, ctx.state.clock).resolve(wanted)
        layers = tuple(
            ImageLayer(layer.digest, layer.size, layer.compression, layer.diff_id) for layer in manifest.layers
        )
        return PulledImage(manifest.digest, ctx.keep_bytes(manifest.config.raw), layers)
