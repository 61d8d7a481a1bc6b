"""Encode one inode of 256 bytes.

Source: kernel Documentation/filesystems/ext4, "Index Nodes" and "Inode Timestamps".
"""

import stat
import struct
from dataclasses import dataclass

from banger.ext4.checksum import crc32c, inode_seed
from banger.ext4.layout import BLOCK_BYTES, INODE_BYTES
from banger.ext4.tree import Node

EXTENTS_FLAG = 0x80000
INDEX_FLAG = 0x1000
EXTRA_BYTES = 32
XATTR_SPACE = INODE_BYTES - 128 - EXTRA_BYTES
FAST_SYMLINK_BYTES = 60
MAX_LINKS = 65000
_INODE = struct.Struct("<HHIIIIIHHIII60sIIIIHHHHHHHHIIIIIII")
_CHECKSUM_LOW_AT = 124
_CHECKSUM_HIGH_AT = 130
_SECTORS_PER_BLOCK = BLOCK_BYTES // 512
_FIRST_SECOND, LAST_SECOND = -(1 << 31), (3 << 32) + (1 << 31) - 1

assert _INODE.size == 128 + EXTRA_BYTES


@dataclass(slots=True)
class Storage:
    """What an inode says about where its content is; `blocks` counts every block that belongs to it."""

    size: int
    blocks: int
    block_area: bytes
    flags: int = 0
    xattr_block: int = 0
    inline_xattrs: bytes = b""


def encode_inode(
    node: Node, storage: Storage, ino: int, fs_seed: int, time: int, *, latest: int = LAST_SECOND
) -> bytes:
    """Encode `node` with its checksum. `time` is the time of creation, `latest` the latest that another time can be."""
    seconds, extra = timestamp(node.mtime, node.mtime_ns, latest)
    created, created_extra = timestamp(time, 0, time)
    sectors = storage.blocks * _SECTORS_PER_BLOCK
    links = node.links if node.links <= MAX_LINKS else 1  # `dir_nlink`: 1 means that nobody counted
    head = _INODE.pack(
        node.mode,
        node.uid & 0xFFFF,
        storage.size & 0xFFFFFFFF,
        seconds,
        seconds,
        seconds,
        0,
        node.gid & 0xFFFF,
        links,
        sectors & 0xFFFFFFFF,
        storage.flags,
        0,
        storage.block_area,
        0,
        storage.xattr_block & 0xFFFFFFFF,
        storage.size >> 32,
        0,
        sectors >> 32,
        storage.xattr_block >> 32,
        node.uid >> 16,
        node.gid >> 16,
        0,
        0,
        EXTRA_BYTES,
        0,
        extra,
        extra,
        extra,
        created,
        created_extra,
        0,
        0,
    )
    raw = bytearray((head + storage.inline_xattrs).ljust(INODE_BYTES, b"\0"))
    checksum = crc32c(bytes(raw), inode_seed(fs_seed, ino))
    struct.pack_into("<H", raw, _CHECKSUM_LOW_AT, checksum & 0xFFFF)
    struct.pack_into("<H", raw, _CHECKSUM_HIGH_AT, checksum >> 16)
    return bytes(raw)


def device_area(node: Node) -> bytes:
    """The block area of a device: the old encoding in the first word if it fits, else the new one in the second."""
    major, minor = node.rdev
    if major < 256 and minor < 256:  # noqa: PLR2004
        return struct.pack("<I", major << 8 | minor)
    return struct.pack("<II", 0, (minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12)


def is_device(node: Node) -> bool:
    """Whether the node is a character or block device."""
    return stat.S_ISCHR(node.mode) or stat.S_ISBLK(node.mode)


def timestamp(seconds: int, nanoseconds: int, latest: int) -> tuple[int, int]:
    """The low 32 bits of a time, and the word with two more bits of it and the nanoseconds."""
    if seconds >= latest:
        seconds, nanoseconds = latest, 0
    seconds = max(_FIRST_SECOND, min(seconds, LAST_SECOND))
    low = seconds & 0xFFFFFFFF
    signed = low - (1 << 32) if low >> 31 else low
    return low, (nanoseconds << 2) | ((seconds - signed) >> 32 & 3)
