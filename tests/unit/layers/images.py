"""Make layers, flatten them in this process, have umoci unpack the same, and read either tree as values."""

import gzip
import hashlib
import json
import os
import random
import stat
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import zstandard

from banger.layers.flatten import flatten_into
from banger.layers.options import Compression, Flattened, Layer, Request
from tests.unit.ext4.images import OPTIONS, TIME, Entry, Seen, mounted, read_tree, tar_of

DIR, LINK, SYMLINK = tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE
REQUEST = Request(OPTIONS)
MEDIA = {
    Compression.NONE: "application/vnd.oci.image.layer.v1.tar",
    Compression.GZIP: "application/vnd.oci.image.layer.v1.tar+gzip",
    Compression.ZSTD: "application/vnd.oci.image.layer.v1.tar+zstd",
}


def packed(tar: bytes, compression: Compression) -> bytes:
    """A tar as a blob."""
    if compression is Compression.GZIP:
        return gzip.compress(tar, 1, mtime=0)
    return zstandard.compress(tar, 1) if compression is Compression.ZSTD else tar


def layer_of(folder: Path, tar: bytes, compression: Compression = Compression.GZIP) -> Layer:
    """Write a tar as a blob below a folder."""
    blob = packed(tar, compression)
    digest = hashlib.sha256(blob).hexdigest()
    (folder / digest).write_bytes(blob)
    return Layer(folder / digest, compression, hashlib.sha256(tar).hexdigest(), digest)


def layers_of(folder: Path, layers: Sequence[Sequence[Entry]], tar_format: int = tarfile.PAX_FORMAT) -> list[Layer]:
    """Write lists of entries as blobs below a folder, packed in turn in each way."""
    ways = list(Compression)
    return [layer_of(folder, tar_of(entries, tar_format), ways[at % 3]) for at, entries in enumerate(layers)]


def flatten_here(layers: Sequence[Layer], image: Path, request: Request = REQUEST) -> Flattened:
    """Flatten without a child process."""
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
    fds = [os.open(layer.path, os.O_RDONLY) for layer in layers]
    out = os.open(image, flags, 0o600)
    seed = os.open(request.seed.path, flags, 0o600) if request.seed is not None else None
    try:
        return flatten_into(layers, fds, out, seed, request)
    finally:
        for fd in (*fds, out, *([] if seed is None else [seed])):
            os.close(fd)


def tree_of(image: Path) -> dict[bytes, Seen]:
    """What the kernel sees in an image."""
    with mounted(image, "ro") as root:
        return read_tree(root)


def oci_layout(folder: Path, layers: Sequence[Layer]) -> Path:
    """An OCI image layout with one image, `test`."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.diff_id}" for layer in layers]},
        "history": [{"created_by": "x"} for _ in layers],
    }
    manifest = {
        "schemaVersion": 2,
        "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [put(layer.path.read_bytes(), MEDIA[layer.compression]) for layer in layers],
    }
    described = put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    described["annotations"] = {"org.opencontainers.image.ref.name": "test"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


def umoci_tree(folder: Path, layers: Sequence[Layer]) -> dict[bytes, Seen] | str:
    """What umoci makes of the layers as root; what it says if it refuses them."""
    layout = oci_layout(folder / "layout", layers)
    rootfs = folder / "rootfs"
    done = subprocess.run(
        ["umoci", "raw", "unpack", "--image", f"{layout}:test", rootfs], capture_output=True, text=True, check=False
    )
    return read_tree(rootfs) if done.returncode == 0 else done.stderr


NAMES = [b"a", b"b", b"c", b"d"]


class Generator:
    """Random layers, the same for the same number; most of them are legal, all of them twist what is there.

    No whiteout is below a symlink, or hides one: what that means depends on the order in umoci (see docs/images.md).
    """

    def __init__(self, number: int) -> None:
        self._random = random.Random(number)
        self._files: set[bytes] = set()
        self._directories: set[bytes] = {b""}
        self._symlinks: set[bytes] = set()

    def layers(self) -> list[list[Entry]]:
        """Two to four layers."""
        return [
            [self._entry(is_upper=at > 0) for _ in range(self._random.randint(2, 16))]
            for at in range(self._random.randint(2, 4))
        ]

    def _choose(self, among: set[bytes]) -> bytes:
        return self._random.choice(sorted(among))

    def _new_path(self) -> bytes:
        if self._random.random() < 0.03:
            return b"/".join(self._random.choice(NAMES) for _ in range(3))
        above = self._choose(self._directories)
        return above + b"/" * bool(above) + self._random.choice(NAMES)

    def _gone(self, path: bytes) -> None:
        for known in (self._files, self._directories):
            known -= {one for one in known if one == path or one.startswith(path + b"/")}

    def _entry(self, *, is_upper: bool) -> Entry:
        pick = self._random.random()
        path = self._new_path()
        above, _, name = path.rpartition(b"/")
        if is_upper and pick < 0.16:
            if pick < 0.04:
                path, name = self._choose(self._directories), b".wh..opq"
                above = path
            elif self._files and pick < 0.1:
                path = self._choose(self._files)
                above, _, name = path.rpartition(b"/")
            if not any(path == link or (path + b"/").startswith(link + b"/") for link in self._symlinks) and (
                not any(link.startswith(path + b"/" * bool(path)) for link in self._symlinks)
            ):
                return Entry(above + b"/" * bool(above) + b".wh." + name)
            path = self._new_path()
        if pick < 0.28 and self._files:
            target = self._choose(self._files)
            if target == path or path in self._directories:
                path += b"x"
            self._gone(path)
            self._files.add(path)
            return Entry(path, LINK, link=target)
        return self._node(path, pick)

    def _node(self, path: bytes, pick: float) -> Entry:
        mode = self._random.choice((0o644, 0o755, 0o4755, 0o1777, 0o700))
        uid, gid = self._random.choice((0, 1000, 3_000_000_000)), self._random.choice((0, 5, 70_000))
        mtime = self._random.randint(0, 1 << 33)
        xattrs = {"user.x": b"1"} if self._random.random() > 0.9 else {}
        if pick < 0.6:
            self._files.discard(path)
            self._directories.add(path)
            return Entry(path, DIR, mode=mode, uid=uid, gid=gid, mtime=mtime, xattrs=xattrs)
        self._gone(path)
        if pick < 0.7:
            target = self._random.choice((b"a", b"b", b"/a", b"/b/c", b"../a", b"../../d", b"nowhere", b"."))
            if self._random.random() < 0.7:
                target = b"/" + self._choose(self._directories)
                self._directories.add(path)
            self._symlinks.add(path)
            return Entry(path, SYMLINK, link=target, mode=0o777, uid=uid, gid=gid, mtime=mtime)
        self._files.add(path)
        if pick < 0.75:
            return Entry(path, tarfile.FIFOTYPE, mode=mode, uid=uid, gid=gid, mtime=mtime)
        data = self._random.randbytes(self._random.choice((0, 1, 700, 4096, 5000)))
        return Entry(path, data=data, mode=mode, uid=uid, gid=gid, mtime=mtime, xattrs=xattrs)


def differences(ours: dict[bytes, Seen], theirs: dict[bytes, Seen], started_ns: int) -> list[tuple[object, ...]]:
    """What is different, but for what docs/images.md says is.

    Of directories: those that no entry is for (ours have banger's own time) have other attributes, and umoci leaves the
    time of unpacking on some that it removed something from.
    """
    found: list[tuple[object, ...]] = []
    for path in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(path), theirs.get(path)
        if mine is None or other is None:
            found.append((path, "missing here" if mine is None else "missing there"))
            continue
        skipped = {"size"} if stat.S_ISDIR(mine.mode) else set()
        if stat.S_ISDIR(mine.mode) and stat.S_ISDIR(other.mode):
            if mine.mtime_ns == TIME * 1_000_000_000:
                skipped |= {"mode", "uid", "gid", "mtime_ns", "xattrs"}
            if other.mtime_ns >= started_ns:
                skipped.add("mtime_ns")
        found += [
            (path, name, getattr(mine, name), getattr(other, name))
            for name in Seen.__dataclass_fields__
            if name not in skipped and getattr(mine, name) != getattr(other, name)
        ]
    return found
