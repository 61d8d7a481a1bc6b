"""Encode inodes by the thousand: those of files in one piece and without attributes, which are nearly all, in one step.

The layout is that of `banger.ext4.inode`, which encodes the others.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from banger.ext4.checksum import crc32c
from banger.ext4.extents import MAX_EXTENT_BLOCKS
from banger.ext4.inode import EXTENTS_FLAG, EXTRA_BYTES, Storage, encode_inode, timestamp
from banger.ext4.layout import BLOCK_BYTES, INODE_BYTES
from banger.ext4.tree import Node

_MAX_SIMPLE_BYTES: Final = MAX_EXTENT_BLOCKS * BLOCK_BYTES
_MAX_SIMPLE_TIME: Final = 1 << 31
_SIMPLE: Final = struct.Struct(
    "<I4x"  # what the checksum begins with: the inode's number and its generation
    "HHIIII4xHHI8s"  # mode, uid, size, three times, gid, links, sectors, flags and version
    "16sHHI36x"  # one extent: the header and the first block of the file; its length and where it is
    "4x4x4x4x2x2xHH2x2x"  # generation, attributes, upper halves of the size and of uid and gid
    "H2x12xII4x4x96x"  # the extra fields: their length, fractions of times (none), the time of creation
)
_FLAGS: Final = struct.pack("<II", EXTENTS_FLAG, 0)
_EXTENT: Final = struct.pack("<HHHHII", 0xF30A, 1, 4, 0, 0, 0)
_WORDS: Final = INODE_BYTES // 2
_CHECKSUM_LOW: Final = 124 // 2
_CHECKSUM_HIGH: Final = 130 // 2

assert _SIMPLE.size == 8 + INODE_BYTES


def is_simple(node: Node) -> bool:
    """Whether a node is a file of which `block` tells all."""
    return (
        node.block != 0
        and not node.xattrs
        and node.size <= _MAX_SIMPLE_BYTES
        and not node.mtime_ns
        and 0 <= node.mtime < _MAX_SIMPLE_TIME
    )


def encode_inodes(nodes: Sequence[Node], storages: Mapping[int, Storage], fs_seed: int, time: int) -> bytes:
    """Encode neighbours in the inode table. `storages` has all but the simple ones, by number."""
    parts: list[bytes] = []
    sums: list[int] = []
    add_part, add_sum, pack = parts.append, sums.append, _SIMPLE.pack
    created, created_extra = timestamp(time, 0, time)
    for node in nodes:
        ino = node.ino
        storage = storages.get(ino)
        if storage is not None:
            add_part(encode_inode(node, storage, ino, fs_seed, time))
            add_sum(-1)
            continue
        size, seconds, uid, gid, block = node.size, node.mtime, node.uid, node.gid, node.block
        blocks = (size + 4095) >> 12
        raw = pack(
            ino, node.mode, uid & 0xFFFF, size, seconds, seconds, seconds, gid & 0xFFFF, node.links, blocks << 3,
            _FLAGS, _EXTENT, blocks, block >> 32, block & 0xFFFFFFFF, uid >> 16, gid >> 16, EXTRA_BYTES,
            created, created_extra,
        )  # fmt: skip
        add_part(raw[8:])
        add_sum(crc32c(raw, fs_seed))
    table = bytearray().join(parts)
    words = memoryview(table).cast("H")
    for number, checksum in enumerate(sums):
        if checksum >= 0:
            words[number * _WORDS + _CHECKSUM_LOW] = checksum & 0xFFFF
            words[number * _WORDS + _CHECKSUM_HIGH] = checksum >> 16
    words.release()
    return bytes(table)
