"""What this library hands out: an image as its manifest describes it, and the limits it keeps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from banger.model.digest import Digest

MANIFEST_LIMIT_BYTES = 4 * 1024**2
CONFIG_LIMIT_BYTES = 8 * 1024**2
LAYERS_LIMIT = 127
IMAGE_LIMIT_BYTES = 64 * 1024**3
INDEX_DEPTH_LIMIT = 3
DOCUMENTS_LIMIT = 16

OS = "linux"
ARCHITECTURE = "amd64"

# OCI image-spec 1.1 "media-types.md"; Docker "Image Manifest V 2, Schema 2".
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_LAYER_TAR = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
CONFIG_TYPES = frozenset({OCI_CONFIG, DOCKER_CONFIG})
LAYER_TYPES = frozenset(
    {OCI_LAYER_TAR, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, DOCKER_LAYER_TAR, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD}
)

Progress = Callable[[int, int], None]
"""Called in the event loop with the bytes that are there and the bytes that there will be."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer as a blob: `digest` and `size` of the file; `diff_id` is the sha256 of the tar in it."""

    digest: Digest
    size: int
    media_type: str
    diff_id: Digest

    @property
    def compression(self) -> Literal["none", "gzip", "zstd"]:
        """How the tar is packed, by its media type."""
        if self.media_type in {OCI_LAYER_GZIP, DOCKER_LAYER_GZIP}:
            return "gzip"
        return "zstd" if self.media_type in {OCI_LAYER_ZSTD, DOCKER_LAYER_ZSTD} else "none"


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What the image says of itself, of which nothing is believed but the `diff_ids`. `raw` is the whole document."""

    digest: Digest
    architecture: str
    os: str
    diff_ids: tuple[Digest, ...]
    user: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = ""
    raw: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """One image for one platform. `digest` names it for ever: it covers the config and every layer, in their order."""

    digest: Digest
    config: ImageConfig
    layers: tuple[Layer, ...]

    @property
    def size(self) -> int:
        """What all layers weigh as blobs, in bytes."""
        return sum(layer.size for layer in self.layers)
