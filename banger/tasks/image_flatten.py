"""`image.flatten`: the layers of a container image and banger's own files, as one root disk and a work seed."""

from pathlib import Path
from typing import ClassVar

import anyio.to_thread

from banger.ext4 import ImageOptions
from banger.layers import Compression, Flattened, Layer
from banger.layers.child import flatten
from banger.layers.guest import banger_request, guest_layer_digest
from banger.model.action import Needs
from banger.model.digest import digest_of
from banger.model.handles import ImageDisks, ImageFacts, PulledImage
from banger.model.limits import DISK_BYTES
from banger.tasks import Build, Context, File, Progress, Ref

_DEADLINE_S = 3600.0
_SLACK_BYTES = 512 * 1024**2
"""Room for what users install: more would have to be read, too, whenever the image is verified."""


class FlattenImage(Build[ImageDisks], frozen=True, kw_only=True):
    """The same layers give the same bytes, on any machine: what else an image says of itself changes nothing here.

    `unknown`: in a plan of an image whose layers nobody has asked for yet, where they will come from.
    """

    kind: ClassVar[str] = "image.flatten"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(pools=(("cpu", 1), ("disk", 1)))
    deadline_s: ClassVar[int] = int(_DEADLINE_S) + 60
    layers: tuple[Ref[File], ...] = ()
    compressions: tuple[str, ...] = ()
    diff_ids: tuple[str, ...] = ()
    guest_files: str = guest_layer_digest()
    unknown: Ref[PulledImage] | None = None

    async def build(self, ctx: Context) -> ImageDisks:
        """Write both. Raises SpecError that names the layer and its entry which cannot be written."""
        assert self.layers, "the layers are not known yet"
        image, seed = ctx.scratch / "root.ext4", ctx.scratch / "work.ext4"
        layers = [
            Layer(ctx.path(ctx.value(ref)), Compression(packed), diff_id.removeprefix("sha256:"))
            for ref, packed, diff_id in zip(self.layers, self.compressions, self.diff_ids, strict=True)
        ]
        request = banger_request(self._options("root"), seed=(seed, self._options("work")))
        flattened = await flatten(
            layers,
            image,
            request,
            deadline_s=_DEADLINE_S,
            progress=lambda done, total: ctx.report(Progress(done, total)),
        )
        return await anyio.to_thread.run_sync(_keep, ctx, image, seed, flattened)

    def _options(self, which: str) -> ImageOptions:
        identity = bytes.fromhex(digest_of(f"image.{which}", list(self.diff_ids)).removeprefix("sha256:"))
        return ImageOptions(
            uuid=identity[:16],
            hash_seed=identity[16:],
            label=f"banger-{which}",
            size_bytes=DISK_BYTES[0] if which == "work" else None,
            slack_bytes=_SLACK_BYTES,
        )


def _keep(ctx: Context, image: Path, seed: Path, flattened: Flattened) -> ImageDisks:
    facts = flattened.facts
    said = ImageFacts(facts.os_ids, facts.version, facts.codename, facts.name, facts.has_sshd)
    return ImageDisks(ctx.keep(image), ctx.keep(seed), said)
