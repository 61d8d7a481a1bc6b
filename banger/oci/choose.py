"""From what a tag or an index names to the one image for this platform, through whatever stands between.

`DocumentSource` is where documents come from: a registry, a layout, an archive. The rules are the same for all.
"""

from typing import Protocol

from banger.model.digest import Digest
from banger.model.errors import NotFoundError
from banger.oci.errors import ContentError, shown
from banger.oci.manifest import (
    Descriptor,
    Index,
    Manifest,
    assemble,
    check_manifest,
    contradicts,
    parse_config,
    parse_manifest,
    verify,
)
from banger.oci.values import (
    ARCHITECTURE,
    DOCUMENTS_LIMIT,
    INDEX_DEPTH_LIMIT,
    INDEX_TYPES,
    MANIFEST_LIMIT_BYTES,
    MANIFEST_TYPES,
    OS,
    ImageManifest,
)

_ATTESTATION = "vnd.docker.reference.type"
_BASELINE_VARIANTS = (None, "", "v1")
_NAMED_LIMIT = 8


class DocumentSource(Protocol):
    """Where documents come from by digest. Both return raw bytes that the caller verifies."""

    def manifest(self, digest: Digest, limit_bytes: int) -> tuple[bytes, str]:
        """The bytes of a manifest or index, and the media type under which they came (empty if nobody said)."""
        ...

    def config(self, digest: Digest, size: int) -> bytes:
        """The bytes of a config, at most `size` of them."""
        ...


def choose_image(source: DocumentSource, raw: bytes, content_type: str, digest: Digest, what: str) -> ImageManifest:
    """Follow a document, already verified, to the image for this platform, and read its config.

    Raises ContentError, and NotFoundError that lists the platforms there are when this one is not among them.
    """
    return choose_from(source, parse_manifest(raw, content_type, what), digest, what)


def find_image(source: DocumentSource, document: Index | Manifest, digest: Digest, what: str) -> Digest:
    """Follow a document that has been read to the digest of the image for this platform. No config is read.

    Raises as `choose_image`.
    """
    return _follow(source, document, digest, what)[1]


def choose_from(source: DocumentSource, document: Index | Manifest, digest: Digest, what: str) -> ImageManifest:
    """The same for a document that has been read."""
    found, found_digest = _follow(source, document, digest, what)
    check_manifest(found, what)
    config_digest = found.config.checked_digest(what)
    config_what = f"{what}: config {config_digest}"
    config_raw = source.config(config_digest, found.config.size)
    if len(config_raw) != found.config.size:
        raise ContentError(f"{config_what}: {len(config_raw)} bytes, not {found.config.size}")
    verify(config_raw, config_digest, config_what)
    return assemble(found_digest, found, parse_config(config_raw, config_what), what)


def _follow(source: DocumentSource, document: Index | Manifest, digest: Digest, what: str) -> tuple[Manifest, Digest]:
    """Depth first through nested indices; every document is fetched once, and there are limits to how many."""
    seen = {digest}
    platforms: list[str] = []

    def search(index: Index, depth: int) -> tuple[Manifest, Digest] | None:
        if depth > INDEX_DEPTH_LIMIT:
            raise ContentError(f"{what}: indices nested deeper than {INDEX_DEPTH_LIMIT}")
        for entry in candidates(index, platforms):
            child_digest = entry.checked_digest(what)
            if child_digest in seen:
                continue
            seen.add(child_digest)
            if len(seen) > DOCUMENTS_LIMIT:
                raise ContentError(f"{what}: more than {DOCUMENTS_LIMIT} documents before an image")
            child = _child(source, entry, child_digest, f"{what}: {child_digest}")
            if isinstance(child, Manifest):
                return child, child_digest
            if deeper := search(child, depth + 1):
                return deeper
        return None

    if isinstance(document, Manifest):
        return document, digest
    if found := search(document, 1):
        return found
    there = ", ".join(platforms[:_NAMED_LIMIT]) or "no image at all"
    raise NotFoundError(f"{what}: nothing for {OS}/{ARCHITECTURE}; there is {there}")


def _child(source: DocumentSource, entry: Descriptor, digest: Digest, what: str) -> Index | Manifest:
    if entry.size > MANIFEST_LIMIT_BYTES:
        raise ContentError(f"{what}: {entry.size} bytes; a manifest has at most {MANIFEST_LIMIT_BYTES}")
    raw, content_type = source.manifest(digest, entry.size)
    if len(raw) != entry.size:
        raise ContentError(f"{what}: {len(raw)} bytes, not {entry.size}")
    verify(raw, digest, what)
    if contradicts(content_type, entry.media_type):
        raise ContentError(f"{what}: was sent as {shown(content_type)}, the index says {shown(entry.media_type)}")
    return parse_manifest(raw, entry.media_type, what)


def candidates(index: Index, platforms: list[str]) -> list[Descriptor]:
    """The entries worth following, best first; `platforms` gets the names of all that are images."""
    exact: list[Descriptor] = []
    unsaid: list[Descriptor] = []
    for entry in index.manifests:
        if entry.media_type not in INDEX_TYPES | MANIFEST_TYPES or _is_attestation(entry):
            continue
        if entry.platform is None or not str(entry.platform):
            unsaid.append(entry)
            continue
        name = shown(str(entry.platform)).strip("'\"")
        if name not in platforms:
            platforms.append(name)
        if (entry.platform.os, entry.platform.architecture) == (OS, ARCHITECTURE):
            exact.append(entry)
    # An image for amd64/v3 does not run on every amd64; the baseline does. sort() keeps the order of equals.
    exact.sort(key=lambda entry: entry.platform is not None and entry.platform.variant not in _BASELINE_VARIANTS)
    return exact + unsaid


def _is_attestation(entry: Descriptor) -> bool:
    """Signatures and provenance stand in an index as if they were images, for a platform that does not exist."""
    platform = entry.platform
    unknown = platform is not None and platform.os == "unknown" and platform.architecture == "unknown"
    return unknown or _ATTESTATION in (entry.annotations or {}) or entry.artifact_type is not None
