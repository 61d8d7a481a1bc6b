"""Write and read the header of a qcow2 file: all that is needed to make an overlay, or to lay one on another base.

QEMU docs/interop/qcow2.txt has the format. A new overlay is four clusters: header, refcount table, one refcount block,
and the (empty) first-level table. Starting qemu-img(1) for that takes longer than everything else about a disk.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from banger.model.errors import HostError

_MAGIC: Final = b"QFI\xfb"
_VERSION: Final = 3
_CLUSTER_BITS: Final = 16
CLUSTER_BYTES: Final = 1 << _CLUSTER_BITS
_HEADER: Final = struct.Struct(">4sIQIIQIIQQIIQQQQII")
"""magic, version, backing file's offset and length, cluster bits, size, encryption, first-level entries, their offset,
refcount table's offset and clusters, snapshots and their offset, three sets of features, refcount order, length."""
_BACKING: Final = struct.Struct(">QI")
_BACKING_AT: Final = 8
_REFCOUNT_ORDER: Final = 4
_RAW_BACKING: Final = struct.pack(">II8sII", 0xE2792ACA, 3, b"raw", 0, 0)
"""Header extension "backing file format", padded to 8 bytes, and the end of the extensions."""
_NAME_AT: Final = 1024
"""Where we put the backing file's name: behind the extensions, and QEMU keeps the rest of the cluster free."""
_NAME_LONGEST: Final = 1023
_LARGEST_BYTES: Final = 1 << 44
"""16 TiB: its first-level table, and the one refcount block's share of it, need no further clusters."""
_L2_COVERS: Final = CLUSTER_BYTES * CLUSTER_BYTES // 8


@dataclass(frozen=True, slots=True)
class Overlay:
    """What a qcow2 file says of itself: the size that a guest sees, and the name of what it lies on (b"": nothing)."""

    size_bytes: int
    backing: bytes


def write_overlay(dest: Path, base: Path | None, size_bytes: int) -> None:
    """Write an empty overlay of a raw image; `dest` must not exist. It is not fsynced. Raises HostError."""
    if size_bytes > _LARGEST_BYTES:
        raise HostError(f"disk {dest}: {size_bytes} bytes are more than a disk can have")
    entries = -(-size_bytes // _L2_COVERS)
    level_one = -(-entries * 8 // CLUSTER_BYTES) or 1
    used = 3 + level_one
    header = _HEADER.pack(
        *(_MAGIC, _VERSION, 0, 0, _CLUSTER_BITS, size_bytes, 0, entries, 3 * CLUSTER_BYTES),
        *(CLUSTER_BYTES, 1, 0, 0, 0, 0, 0, _REFCOUNT_ORDER, _HEADER.size),
    )
    try:
        with dest.open("xb") as file:
            file.write(header + _RAW_BACKING)
            file.seek(CLUSTER_BYTES)
            file.write(struct.pack(">Q", 2 * CLUSTER_BYTES))
            file.seek(2 * CLUSTER_BYTES)
            file.write(struct.pack(">H", 1) * used)
            file.truncate(used * CLUSTER_BYTES)
    except OSError as error:
        raise HostError(f"disk {dest}: {error.strerror}") from error
    set_backing(dest, base)


def set_backing(path: Path, base: Path | None) -> None:
    """Lay an overlay on a base at an absolute path, or on none. Nobody may have it open. Raises HostError."""
    name = b"" if base is None else os.fsencode(base)
    if base is not None and (not base.is_absolute() or len(name) > _NAME_LONGEST):
        raise HostError(
            f"disk {path}: it cannot lie on {str(base)[:200]!r}: at most {_NAME_LONGEST} bytes, from the root"
        )
    old = read_overlay(path).backing
    try:
        with path.open("r+b") as file:
            file.seek(_BACKING_AT)
            old_at, _ = _BACKING.unpack(file.read(_BACKING.size))
            if old_at:
                file.seek(old_at)
                file.write(bytes(len(old)))
            file.seek(_NAME_AT)
            file.write(name)
            file.seek(_BACKING_AT)
            file.write(_BACKING.pack(_NAME_AT if name else 0, len(name)))
    except OSError as error:
        raise HostError(f"disk {path}: {error.strerror}") from error


def read_overlay(path: Path) -> Overlay:
    """Read no more than the header, as the rest is what the guest made of it. Raises HostError."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size or not header.startswith(_MAGIC):
                raise HostError(f"disk {path}: not a qcow2 file")
            _, _, at, length, _, size_bytes, *_ = _HEADER.unpack(header)
            file.seek(at)
            backing = file.read(min(length, _NAME_LONGEST)) if at else b""
    except OSError as error:
        raise HostError(f"disk {path}: {error.strerror}") from error
    return Overlay(int(size_bytes), backing)
