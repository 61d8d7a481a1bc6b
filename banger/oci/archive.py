"""Images in a file that `docker save`, `podman save` or `skopeo copy` made: `docker-archive:FILE[:REFERENCE]`.

Source: moby image/spec/spec.md, "Combined Image JSON + Filesystem Changeset Format", and what containers/image writes.
The file is read in place; every layer is verified against the config, whose digest is its name.
"""

import hashlib
import json
import os
import re
import stat
from pathlib import Path

import msgspec

from banger.model.digest import Digest, digest_of_bytes
from banger.model.errors import NotFoundError, SpecError
from banger.oci.blobs import CHUNK_BYTES, BlobDir, Count
from banger.oci.document import read_document, shape
from banger.oci.errors import ContentError, shown
from banger.oci.layout import copy_blob
from banger.oci.manifest import Descriptor, Manifest, assemble, check_manifest, parse_config
from banger.oci.reference import parse_reference
from banger.oci.tarindex import Member, TarIndex, index_tar
from banger.oci.values import (
    CONFIG_LIMIT_BYTES,
    LAYERS_LIMIT,
    MANIFEST_LIMIT_BYTES,
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_LAYER_TAR,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    ImageConfig,
    ImageManifest,
    Layer,
)
from banger.oci.watch import Stop

_MAGIC = ((b"\x1f\x8b", OCI_LAYER_GZIP), (b"\x28\xb5\x2f\xfd", OCI_LAYER_ZSTD))
_NAMED_BY_DIGEST = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?\Z")
_BY_NUMBER = re.compile(r"@([0-9]{1,4})\Z")


class _Entry(msgspec.Struct, frozen=True, rename="pascal"):
    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


class Archive:
    """One image of an archive. Of one thread; close it."""

    def __init__(self, file: Path, wanted: str | None, stop: Stop) -> None:
        self._what = f"docker-archive:{file}"
        self._wanted = wanted
        self._stop = stop
        try:
            self._fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise NotFoundError(f"{self._what}: not there") from None
        except OSError as error:
            raise SpecError(f"{self._what}: cannot be read: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self.close()
            raise SpecError(f"{self._what}: is not a file")

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def resolve(self) -> ImageManifest:
        """Return the image. Its digest is that of the OCI manifest which says the same. Raises as in `Layout`."""
        return self._image()[0]

    def find(self) -> Digest:
        """Return the digest of that image."""
        return self.resolve().digest

    def fetch(self, layer: Layer, blobs: BlobDir, count: Count) -> Path:
        """Copy a layer's blob, verified."""
        if (path := blobs.find(layer.digest, layer.size)) is not None:
            count(layer.size)
            return path
        image, members = self._image()
        member = next((where for each, where in zip(image.layers, members, strict=True) if each == layer), None)
        if member is None:
            raise ContentError(f"{self._what}: {layer.digest} is not there any more")
        at = 0

        def read(size: int) -> bytes:
            nonlocal at
            chunk = self._pread(min(size, member.size - at), member.offset + at)
            at += len(chunk)
            return chunk

        return copy_blob(read, layer, blobs, count, self._stop)

    def _image(self) -> tuple[ImageManifest, list[Member]]:
        if self._pread(2, 0) == b"\x1f\x8b":
            raise SpecError(f"{self._what}: is compressed", hint="gunzip it, and name the file that comes out")
        index = index_tar(self._fd, self._what)
        entry = self._entry(index)
        config = self._config(index, entry)
        if not len(config.diff_ids) == len(entry.layers) <= LAYERS_LIMIT:
            raise ContentError(
                f"{self._what}: {len(entry.layers)} layers, but the config has {len(config.diff_ids)} diff_ids"
            )
        members = [self._member(index, name) for name in entry.layers]
        layers = [
            self._layer(name, member, diff_id)
            for name, member, diff_id in zip(entry.layers, members, config.diff_ids, strict=True)
        ]
        own = Descriptor(config.digest, len(config.raw), OCI_CONFIG)
        manifest = check_manifest(Manifest(own, layers), self._what)
        return assemble(_digest(manifest), manifest, config, self._what), members

    def _entry(self, index: TarIndex) -> _Entry:
        raw = self._small(index, "manifest.json", MANIFEST_LIMIT_BYTES)
        # A list, where our reader wants an object: one that is just that list.
        value = read_document(b'{"images":%s}' % raw, f"{self._what}: manifest.json", MANIFEST_LIMIT_BYTES + 16)
        entries = shape(value.get("images"), list[_Entry], f"{self._what}: manifest.json")
        if self._wanted is None:
            if len(entries) != 1:
                raise SpecError(f"{self._what}: has {len(entries)} images", hint=f"say which: {self._what}:@0")
            return entries[0]
        if match := _BY_NUMBER.match(self._wanted):
            if int(match[1]) < len(entries):
                return entries[int(match[1])]
        else:
            name = parse_reference(self._wanted)
            for entry in entries:
                if any(_names(tag, str(name)) for tag in entry.repo_tags or []):
                    return entry
        raise NotFoundError(f"{self._what}: has no image {shown(self._wanted)}")

    def _config(self, index: TarIndex, entry: _Entry) -> ImageConfig:
        raw = self._small(index, entry.config, CONFIG_LIMIT_BYTES)
        match = _NAMED_BY_DIGEST.match(entry.config)
        if match and digest_of_bytes(raw) != f"sha256:{match[1]}":
            raise ContentError(f"{self._what}: the config {shown(entry.config)} is not what its name says")
        return parse_config(raw, f"{self._what}: {shown(entry.config)}")

    def _layer(self, name: str, member: Member, diff_id: Digest) -> Descriptor:
        magic = self._pread(4, member.offset) if member.size >= 4 else b""  # noqa: PLR2004 - the longest magic
        media_type = next((kind for start, kind in _MAGIC if magic.startswith(start)), OCI_LAYER_TAR)
        if media_type == OCI_LAYER_TAR:
            # The config says what an uncompressed layer hashes to; `fetch` holds the bytes against that.
            return Descriptor(diff_id, member.size, media_type)
        match = _NAMED_BY_DIGEST.match(name)
        return Descriptor(f"sha256:{match[1]}" if match else self._hash(member), member.size, media_type)

    def _hash(self, member: Member) -> str:
        hasher = hashlib.sha256()
        at = 0
        while at < member.size and (chunk := self._pread(min(CHUNK_BYTES, member.size - at), member.offset + at)):
            self._stop.check()
            hasher.update(chunk)
            at += len(chunk)
        return f"sha256:{hasher.hexdigest()}"

    def _member(self, index: TarIndex, name: str) -> Member:
        member = index.find(name)
        if member is None:
            raise ContentError(f"{self._what}: has no {shown(name)}")
        return member

    def _small(self, index: TarIndex, name: str, limit_bytes: int) -> bytes:
        member = index.find(name)
        if member is None:
            raise ContentError(f"{self._what}: has no {shown(name)}", hint="is it a file that `docker save` made?")
        if member.size > limit_bytes:
            raise ContentError(f"{self._what}: {shown(name)} is longer than {limit_bytes} bytes")
        return self._pread(member.size, member.offset)

    def _pread(self, size: int, offset: int) -> bytes:
        try:
            return os.pread(self._fd, size, offset)
        except OSError as error:
            raise ContentError(f"{self._what}: cannot be read: {error.strerror}") from None


def _names(tag: str, wanted: str) -> bool:
    try:
        return str(parse_reference(tag)) == wanted
    except SpecError:
        return False


def _digest(manifest: Manifest) -> Digest:
    """The digest of the manifest that a registry would have for this image, written in one way."""
    parts = [
        {"mediaType": each.media_type, "digest": each.digest, "size": each.size}
        for each in (manifest.config, *manifest.layers)
    ]
    value = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": parts[0], "layers": parts[1:]}
    return digest_of_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii"))
