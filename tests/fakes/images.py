"""Small images, made in memory: documents and blobs by digest, valid unless a test bends them."""

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import Any

from banger.oci import values


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def encode(value: object) -> bytes:
    return json.dumps(value).encode()


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, the same every time."""
    blocks = (hashlib.sha256(b"%d %d" % (seed, number)).digest() for number in range(-(-size // 32)))
    return b"".join(blocks)[:size]


def layer_tar(size: int, seed: int = 0) -> bytes:
    """A tar with one file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(f"file{seed}")
        info.size = size
        tar.addfile(info, io.BytesIO(noise(size, seed)))
    return out.getvalue()


@dataclass
class Image:
    """An image. `manifest` and `config` are the values to bend; `blobs` has what is served by digest."""

    layers: list[bytes]
    config: dict[str, Any]
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def config_raw(self) -> bytes:
        return encode(self.config)

    @property
    def raw(self) -> bytes:
        return encode(self.manifest)

    @property
    def digest(self) -> str:
        return digest(self.raw)

    @property
    def blobs(self) -> dict[str, bytes]:
        return {digest(data): data for data in [*self.layers, self.config_raw]}

    def seal(self) -> "Image":
        """Make the manifest say what config and layers are now."""
        self.manifest = {
            "schemaVersion": 2,
            "mediaType": values.OCI_MANIFEST,
            "config": descriptor(self.config_raw, values.OCI_CONFIG),
            "layers": [descriptor(data, values.OCI_LAYER_GZIP) for data in self.layers],
        }
        return self


def descriptor(data: bytes, media_type: str, **more: object) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


def make_image(sizes: tuple[int, ...] = (200_000,), architecture: str = "amd64", seed: int = 0) -> Image:
    """An image with layers of about these sizes."""
    tars = [layer_tar(size, seed + number) for number, size in enumerate(sizes)]
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "WorkingDir": "/", "User": "root"},
        "rootfs": {"type": "layers", "diff_ids": [digest(tar) for tar in tars]},
    }
    return Image([gzip.compress(tar, mtime=0) for tar in tars], config).seal()


def index_of(*entries: dict[str, Any], media_type: str = values.OCI_INDEX) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": media_type, "manifests": list(entries)}


def platform_entry(image: Image, architecture: str = "amd64", **platform: str) -> dict[str, Any]:
    """The entry of an image in an index."""
    there = {"os": "linux", "architecture": architecture, **platform}
    return descriptor(image.raw, values.OCI_MANIFEST, platform=there)


def stacked(base: Image, size: int, seed: int) -> Image:
    """An image with one more layer than another, which it shares the others with."""
    tar = layer_tar(size, seed)
    diff_ids = [*base.config["rootfs"]["diff_ids"], digest(tar)]
    config = base.config | {"rootfs": {"type": "layers", "diff_ids": diff_ids}}
    return Image([*base.layers, gzip.compress(tar, mtime=0)], config).seal()
