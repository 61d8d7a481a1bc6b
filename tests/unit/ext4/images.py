"""Make tars, check images with e2fsck, and read their trees back through the kernel."""

import contextlib
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from banger.ext4 import ImageOptions

TIME = 1_700_000_000
OPTIONS = ImageOptions(uuid=bytes(range(16)), hash_seed=bytes(range(16, 32)), label="test", time=TIME)


@dataclass(frozen=True)
class Entry:
    """One member of a tar in the terms of tarfile; `link` is a target, `data` a file's content."""

    name: bytes
    kind: bytes = tarfile.REGTYPE
    data: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = TIME - 1000
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What a mounted image shows of one path."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int
    rdev: tuple[int, int]
    content: bytes
    xattrs: dict[str, bytes]
    same_file: bytes
    links: int = 1


def text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def tar_of(entries: Iterable[Entry], tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    """An uncompressed tar of the entries, in their order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format, errors="surrogateescape") as tar:
        for entry in entries:
            info = tarfile.TarInfo(text(entry.name))
            info.type = entry.kind
            info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
            info.linkname = text(entry.link)
            info.devmajor, info.devminor = entry.device
            info.size = len(entry.data)
            info.pax_headers = {
                f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape") for key, value in entry.xattrs.items()
            }
            tar.addfile(info, io.BytesIO(entry.data))
    return out.getvalue()


def assert_clean(image: Path) -> None:
    """Have e2fsck look at everything; it may find nothing at all."""
    done = subprocess.run(["e2fsck", "-fn", image], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def debugfs(image: Path, request: str) -> str:
    """What debugfs prints for a request."""
    return subprocess.run(
        ["debugfs", "-R", request, image], capture_output=True, text=True, errors="replace", check=True
    ).stdout


@contextlib.contextmanager
def mounted(image: Path, *options: str) -> Iterator[Path]:
    """Mount an image (root only)."""
    where = image.with_suffix(".mnt")
    where.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "ext4", "-o", ",".join(("loop", *options)), image, where], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", where], check=True)
        where.rmdir()


def read_back(image: Path) -> dict[bytes, Seen]:
    """The tree that the kernel sees, by path; the root is the empty path, lost+found is left out."""
    with mounted(image, "ro") as root:
        return read_tree(root)


def read_tree(root: Path) -> dict[bytes, Seen]:
    """A tree of the host as values."""
    top = os.fsencode(root)
    paths = [b""]
    for above, directories, files in os.walk(top):
        if above == top and b"lost+found" in directories:
            directories.remove(b"lost+found")
        paths += [(above + b"/" + name)[len(top) + 1 :] for name in directories + files]
    inodes: dict[int, bytes] = {}
    return {path: _seen(top + b"/" + path, path, inodes) for path in sorted(paths)}


def _seen(full: bytes, path: bytes, inodes: dict[int, bytes]) -> Seen:
    info = os.lstat(full)
    content = b""
    if stat.S_ISREG(info.st_mode):
        content = Path(os.fsdecode(full)).read_bytes()
    elif stat.S_ISLNK(info.st_mode):
        content = os.readlink(full)  # noqa: PTH115 - the path is bytes
    return Seen(
        mode=info.st_mode,
        uid=info.st_uid,
        gid=info.st_gid,
        mtime_ns=info.st_mtime_ns,
        size=info.st_size,
        rdev=(os.major(info.st_rdev), os.minor(info.st_rdev)),
        content=content,
        xattrs={name: os.getxattr(full, name, follow_symlinks=False) for name in _names(full)},
        same_file=inodes.setdefault(info.st_ino, path),
        links=1 if stat.S_ISDIR(info.st_mode) else info.st_nlink,
    )


def _names(full: bytes) -> list[str]:
    return os.listxattr(full, follow_symlinks=False)
