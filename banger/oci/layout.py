"""Images in an OCI layout on disk: `oci:DIR`, or `oci:DIR:NAME` where it has several.

Source: OCI image-spec 1.1, image-layout.md. Every byte is verified as if it came from a stranger's registry.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from banger.model.digest import Digest, digest_of_bytes
from banger.model.errors import NotFoundError, SpecError
from banger.oci.blobs import BlobDir, Count
from banger.oci.choose import choose_from, choose_image
from banger.oci.document import read_document
from banger.oci.errors import ContentError, shown
from banger.oci.manifest import Descriptor, Index, parse_manifest, verify
from banger.oci.values import MANIFEST_LIMIT_BYTES, ImageManifest, Layer
from banger.oci.watch import Stop

_NAME = "org.opencontainers.image.ref.name"
_VERSION_LIMIT_BYTES = 4096
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


class Layout:
    """A `DocumentSource` in a directory. Of one thread."""

    def __init__(self, directory: Path, name: str | None, stop: Stop) -> None:
        self._directory = directory
        self._name = name
        self._stop = stop

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def resolve(self) -> ImageManifest:
        """Return the image for this platform. Raises SpecError, NotFoundError, ContentError."""
        what = f"oci:{self._directory}"
        self._check_version(what)
        raw = self._read("index.json", MANIFEST_LIMIT_BYTES)
        index = parse_manifest(raw, "", what)
        if not isinstance(index, Index):
            raise ContentError(f"{what}: index.json is not an index")
        chosen = Index(self._named(index, what))
        if len(chosen.manifests) != 1:
            # Listed directly, without an index of its own: one image for several platforms.
            return choose_from(self, chosen, digest_of_bytes(raw), what)
        entry = chosen.manifests[0]
        digest = entry.checked_digest(what)
        document, _ = self.manifest(digest, min(entry.size, MANIFEST_LIMIT_BYTES))
        if len(document) != entry.size:
            raise ContentError(f"{what}: {digest}: {len(document)} bytes, not {entry.size}")
        verify(document, digest, f"{what}: {digest}")
        return choose_image(self, document, entry.media_type, digest, what)

    def find(self) -> Digest:
        """Return the digest of that image. Raises as `resolve`."""
        return self.resolve().digest

    def manifest(self, digest: Digest, limit_bytes: int) -> tuple[bytes, str]:
        """A manifest or index by digest; a file has no Content-Type."""
        return self._read(_blob(digest), limit_bytes), ""

    def config(self, digest: Digest, size: int) -> bytes:
        """A config."""
        return self._read(_blob(digest), size)

    def fetch(self, layer: Layer, blobs: BlobDir, count: Count) -> Path:
        """Copy a layer's blob, verified. (Not linked: the file is somebody else's and may change.)"""
        what = f"oci:{self._directory}: {layer.digest}"
        if (path := blobs.find(layer.digest, layer.size)) is not None:
            count(layer.size)
            return path
        fd = _open_regular(self._directory / _blob(layer.digest), what)
        with os.fdopen(fd, "rb", buffering=0) as file:
            return copy_blob(lambda size: _reading(what, file.read, size), layer, blobs, count, self._stop)

    def _named(self, index: Index, what: str) -> list[Descriptor]:
        names = [(entry.annotations or {}).get(_NAME) for entry in index.manifests]
        if self._name is not None:
            found = [entry for entry, name in zip(index.manifests, names, strict=True) if name == self._name]
            if not found:
                there = ", ".join(shown(name) for name in names if name) or "none with a name"
                raise NotFoundError(f"{what}: no image named {shown(self._name)}; there is {there}")
            return found
        if len({name for name in names if name}) > 1:
            first = next(name for name in names if name)
            raise SpecError(f"{what}: has several images", hint=f"say which, for example {what}:{shown(first)}")
        return index.manifests

    def _check_version(self, what: str) -> None:
        try:
            raw = self._read("oci-layout", _VERSION_LIMIT_BYTES)
        except NotFoundError:
            raise NotFoundError(f"{what}: is not an OCI layout: it has no file oci-layout") from None
        version = read_document(raw, f"{what}: oci-layout", _VERSION_LIMIT_BYTES).get("imageLayoutVersion")
        if version != "1.0.0":
            raise ContentError(f"{what}: a layout of version {shown(version)}, not 1.0.0")

    def _read(self, name: str, limit_bytes: int) -> bytes:
        what = f"oci:{self._directory}: {name}"
        with os.fdopen(_open_regular(self._directory / name, what), "rb") as file:
            raw = _reading(what, file.read, limit_bytes + 1)
        if len(raw) > limit_bytes:
            raise ContentError(f"{what}: longer than {limit_bytes} bytes")
        return raw


def copy_blob(read: Callable[[int], bytes], layer: Layer, blobs: BlobDir, count: Count, stop: Stop) -> Path:
    """Make a blob of what `read` gives, from the beginning. Raises ContentError, HostError, StoppedError."""

    def reading(size: int) -> bytes:
        stop.check()
        return read(size)

    with blobs.write(layer.digest, layer.size, stop.wait) as partial:
        if (path := blobs.find(layer.digest, layer.size)) is not None:
            count(layer.size)
            return path
        partial.restart()
        partial.need_space()
        partial.pour(reading, count)
        return partial.commit()


def _blob(digest: Digest) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _open_regular(path: Path, what: str) -> int:
    try:
        fd = os.open(path, _FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"{what}: not there") from None
    except OSError as error:
        raise SpecError(f"{what}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ContentError(f"{what}: is not a regular file")
    return fd


def _reading(what: str, read: Callable[[int], bytes], size: int) -> bytes:
    try:
        return read(size)
    except OSError as error:
        raise ContentError(f"{what}: cannot be read: {error.strerror}") from None
