"""The disk files of a VM: its root is an overlay on an image that many VMs share and none may change."""

import os
import struct
from pathlib import Path

from banger.host.process import run
from banger.host.tools import get_tool
from banger.model.errors import HostError
from banger.vm import DiskFormat

_DEADLINE_S = 30.0
_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQ")
"""magic, version, backing file's offset and length, cluster bits, size (QEMU docs/interop/qcow2.txt, "Header")."""
_SECTOR_BYTES = 512


async def create_overlay(base: Path, dest: Path, *, size_bytes: int | None = None) -> None:
    """Make a qcow2 file that reads as the raw image `base` and keeps what is written; replaces what is at `dest`.

    `size_bytes` makes the disk larger than its base. Raises HostError, leaving no `dest` that was not there before.
    """
    _check_base(base, size_bytes)
    # Absolute: QEMU takes what stands before a colon in a relative name for a protocol.
    made = Path(os.path.abspath(dest.with_name(f".{dest.name}.new")))  # noqa: PTH100, ASYNC240 - looks at no file
    backing = os.path.abspath(base)  # noqa: PTH100, ASYNC240 - likewise
    argv = [str(get_tool("qemu-img")), "create", "-q", "-f", "qcow2", "-b", backing, "-F", DiskFormat.RAW.value]
    size = [] if size_bytes is None else [str(size_bytes)]
    try:
        (await run([*argv, "--", str(made), *size], deadline_s=_DEADLINE_S)).check(f"make overlay {dest.name}")
        os.replace(made, dest)  # noqa: PTH105 - one system call each, not worth a thread
    finally:
        _discard(made)


def _discard(path: Path) -> None:
    path.unlink(missing_ok=True)


def _check_base(base: Path, size_bytes: int | None) -> None:
    if not base.is_file():
        raise HostError(f"image {base}: not a file")
    base_bytes = base.stat().st_size
    if base_bytes == 0 or base_bytes % _SECTOR_BYTES:
        # QEMU would round a raw image down to whole sectors and the guest would miss its end.
        raise HostError(f"image {base}: {base_bytes} bytes are not whole sectors of {_SECTOR_BYTES}")
    if size_bytes is not None and size_bytes < base_bytes:
        raise HostError(f"image {base}: its {base_bytes} bytes do not fit a disk of {size_bytes}")


def create_empty(dest: Path, size_bytes: int) -> None:
    """Make a raw disk of zeroes that takes no space yet. Raises FileExistsError: no disk is emptied by accident."""
    descriptor = os.open(dest, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, size_bytes)
    finally:
        os.close(descriptor)


def check_overlay(path: Path, base: Path) -> int:
    """Return the size in bytes of an overlay if it is a qcow2 file on `base`. Raises HostError."""
    size_bytes, backing = _read_header(path)
    if backing != os.fsencode(base.absolute()):
        raise HostError(f"disk {path}: it lies on {os.fsdecode(backing)[:200]!r}, not on {base}")
    return size_bytes


def overlay_size(path: Path) -> int:
    """Return the size in bytes that a guest sees of an overlay, whatever it lies on. Raises HostError."""
    return _read_header(path)[0]


def _read_header(path: Path) -> tuple[int, bytes]:
    """Return size and backing file's name; reads no more than that, as the rest is what the guest made of it."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size or not header.startswith(_MAGIC):
                raise HostError(f"disk {path}: not a qcow2 file")
            _, _, backing_offset, backing_length, _, size_bytes = _HEADER.unpack(header)
            file.seek(backing_offset)
            backing = file.read(min(backing_length, os.pathconf("/", "PC_PATH_MAX")))
    except OSError as error:
        raise HostError(f"disk {path}: {error.strerror}") from error
    return int(size_bytes), backing
