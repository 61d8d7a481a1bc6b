"""Manifests, indices and image configs: which bytes are believed to be which document.

Sources: OCI image-spec 1.1 (image-index.md, manifest.md, config.md), Docker "Image Manifest V 2, Schema 2".
A document that could be taken for two kinds is refused (CVE-2021-41190), and so is one whose `mediaType` is not
what its sender said it is.
"""

from typing import Annotated

import msgspec

from banger.model.digest import Digest, digest_of_bytes, parse_digest
from banger.oci.document import read_document, shape
from banger.oci.errors import ContentError, shown
from banger.oci.values import (
    ARCHITECTURE,
    CONFIG_LIMIT_BYTES,
    CONFIG_TYPES,
    IMAGE_LIMIT_BYTES,
    INDEX_TYPES,
    LAYER_TYPES,
    LAYERS_LIMIT,
    MANIFEST_LIMIT_BYTES,
    MANIFEST_TYPES,
    OS,
    ImageConfig,
    ImageManifest,
    Layer,
)

_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
_VAGUE_TYPES = frozenset({"", "application/json", "application/octet-stream", "text/plain"})
_OLD_HINT = "push the image again with a tool of today, or ask who made it"


class Platform(msgspec.Struct, frozen=True):
    """What an image runs on, as an index says it."""

    architecture: str = ""
    os: str = ""
    variant: str | None = None

    def __str__(self) -> str:
        """As users write it: linux/arm64/v8."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(msgspec.Struct, frozen=True, rename={"media_type": "mediaType"}):
    """A reference to other content: its type, digest and size in bytes."""

    digest: str
    size: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    media_type: str = ""
    urls: list[str] | None = None
    annotations: dict[str, str] | None = None
    platform: Platform | None = None
    artifact_type: str | None = msgspec.field(default=None, name="artifactType")

    def checked_digest(self, what: str) -> Digest:
        """Return the digest if banger can verify it. It is checked before it can become part of a path or a URL."""
        return checked_digest(self.digest, what)


class Index(msgspec.Struct, frozen=True):
    """A list of manifests for several platforms."""

    manifests: list[Descriptor]


class Manifest(msgspec.Struct, frozen=True):
    """One image: its config and its layers, lowest first."""

    config: Descriptor
    layers: list[Descriptor]


class _Rootfs(msgspec.Struct, frozen=True):
    type: str
    diff_ids: list[str]


class _Runtime(msgspec.Struct, frozen=True, rename="pascal"):
    user: str | None = None
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    working_dir: str | None = None


class _Config(msgspec.Struct, frozen=True):
    architecture: str
    os: str
    rootfs: _Rootfs
    config: _Runtime | None = None


def checked_digest(text: str, what: str) -> Digest:
    """Check the form of a digest in a document. Raises ContentError."""
    try:
        return parse_digest(text)
    except ValueError:
        raise ContentError(f"{what}: {shown(text)} is not a digest by sha256") from None


def verify(raw: bytes, digest: Digest, what: str) -> None:
    """Compare raw bytes with their digest. Raises ContentError."""
    found = digest_of_bytes(raw)
    if found != digest:
        raise ContentError(f"{what}: what was sent has the digest {found}")


def contradicts(content_type: str, media_type: str) -> bool:
    """Say whether a Content-Type is about documents at all, and about another one."""
    sent = _bare(content_type)
    return sent not in _VAGUE_TYPES and sent != media_type


def parse_manifest(raw: bytes, content_type: str, what: str) -> Index | Manifest:
    """Read an index or a manifest whose sender called it `content_type` (may be empty). Raises ContentError."""
    value = read_document(raw, what, MANIFEST_LIMIT_BYTES)
    media_type = _media_type(value, content_type, what)
    has_index, has_image = "manifests" in value, "layers" in value or "config" in value or "fsLayers" in value
    if has_index and has_image:
        raise ContentError(f"{what}: is both an index and an image, so nobody can tell what was meant")
    if value.get("schemaVersion") != 2 or isinstance(value.get("schemaVersion"), bool):  # noqa: PLR2004 - the only one
        raise ContentError(f"{what}: schemaVersion is {shown(value.get('schemaVersion'))}, not 2")
    if media_type in INDEX_TYPES:
        if not has_index:
            raise ContentError(f"{what}: an index without manifests")
        return shape(value, Index, what)
    if not has_image:
        raise ContentError(f"{what}: a manifest without layers")
    return shape(value, Manifest, what)


def _media_type(value: dict[str, object], content_type: str, what: str) -> str:
    """Decide what the document is; the sender, the document and its shape must not contradict each other."""
    sent = _bare(content_type)
    own = value.get("mediaType")
    if not isinstance(own, str | None):
        raise ContentError(f"{what}: mediaType is not a text")
    if sent.startswith(_SCHEMA_1) or "fsLayers" in value or value.get("schemaVersion") == 1:
        raise ContentError(f"{what}: is a manifest of schema 1, which cannot be verified", hint=_OLD_HINT)
    if own and contradicts(content_type, own):
        raise ContentError(f"{what}: was sent as {shown(sent)} and calls itself {shown(own)}")
    known = own or sent
    if known in _VAGUE_TYPES:
        # OCI image-spec 1.0 lets a document leave out its mediaType; files in a layout have no other.
        known = next(iter(INDEX_TYPES if "manifests" in value else MANIFEST_TYPES))
    if known not in INDEX_TYPES | MANIFEST_TYPES:
        raise ContentError(f"{what}: {shown(known)} is not an image")
    return known


def _bare(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def parse_config(raw: bytes, what: str) -> ImageConfig:
    """Read the config of an image and check that it is for this platform. Raises ContentError."""
    config = shape(read_document(raw, what, CONFIG_LIMIT_BYTES), _Config, what)
    if (config.os, config.architecture) != (OS, ARCHITECTURE):
        platform = f"{config.os}/{config.architecture}"
        raise ContentError(f"{what}: the image is for {shown(platform)}, not for {OS}/{ARCHITECTURE}")
    if config.rootfs.type != "layers":
        raise ContentError(f"{what}: a rootfs of type {shown(config.rootfs.type)}")
    runtime = config.config or _Runtime()
    return ImageConfig(
        digest=digest_of_bytes(raw),
        architecture=config.architecture,
        os=config.os,
        diff_ids=tuple(checked_digest(text, what) for text in config.rootfs.diff_ids),
        user=runtime.user or "",
        env=tuple(runtime.env or ()),
        entrypoint=tuple(runtime.entrypoint or ()),
        cmd=tuple(runtime.cmd or ()),
        working_dir=runtime.working_dir or "",
        raw=raw,
    )


def check_manifest(manifest: Manifest, what: str) -> Manifest:
    """Return the manifest if it is an image within the limits. Nothing of it is fetched before. Raises ContentError."""
    if manifest.config.media_type not in CONFIG_TYPES:
        raise ContentError(f"{what}: is not an image: its config is {shown(manifest.config.media_type)}")
    manifest.config.checked_digest(what)
    if manifest.config.size > CONFIG_LIMIT_BYTES:
        raise ContentError(f"{what}: a config of {manifest.config.size} bytes; at most {CONFIG_LIMIT_BYTES}")
    if not 0 < len(manifest.layers) <= LAYERS_LIMIT:
        raise ContentError(f"{what}: {len(manifest.layers)} layers; an image has 1 to {LAYERS_LIMIT}")
    for number, layer in enumerate(manifest.layers, 1):
        _check_layer(layer, f"{what}: layer {number}")
    total = sum(layer.size for layer in manifest.layers)
    if total > IMAGE_LIMIT_BYTES:
        raise ContentError(f"{what}: layers of {total} bytes in all; at most {IMAGE_LIMIT_BYTES}")
    return manifest


def _check_layer(layer: Descriptor, what: str) -> None:
    layer.checked_digest(what)
    if layer.urls or "foreign" in layer.media_type or "nondistributable" in layer.media_type:
        # Another server would be asked for them: with whose credentials? (CVE-2020-15157)
        raise ContentError(f"{what}: is kept by somebody else (a foreign layer), which is not followed")
    if layer.media_type not in LAYER_TYPES:
        raise ContentError(f"{what}: {shown(layer.media_type)} is not a layer that banger can read")
    if layer.size == 0:
        raise ContentError(f"{what}: has no bytes")


def assemble(digest: Digest, manifest: Manifest, config: ImageConfig, what: str) -> ImageManifest:
    """Put manifest and config together. Raises ContentError if they do not have the same number of layers."""
    if len(config.diff_ids) != len(manifest.layers):
        raise ContentError(f"{what}: {len(manifest.layers)} layers, but the config has {len(config.diff_ids)} diff_ids")
    layers = tuple(
        Layer(layer.checked_digest(what), layer.size, layer.media_type, diff_id)
        for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True)
    )
    return ImageManifest(digest, config, layers)
