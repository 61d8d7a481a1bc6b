"""Extent trees: which blocks of a file are where. Four extents in the inode, else a tree of blocks.

Source: kernel Documentation/filesystems/ext4, "The Contents of inode.i_block", "Extent Tree".
"""

import struct
from collections.abc import Callable, Iterable

from banger.ext4.allocate import Run
from banger.ext4.checksum import crc32c

BLOCK_BYTES = 4096
MAX_EXTENT_BLOCKS = 32768
IN_INODE = 4
_MAGIC = 0xF30A
_HEADER = struct.Struct("<HHHHI")
_LEAF = struct.Struct("<IHHI")
_INDEX = struct.Struct("<IIHH")
IN_BLOCK = (BLOCK_BYTES - _HEADER.size - 4) // _LEAF.size

Extent = tuple[int, int, int]
"""The first block within the file, the first block within the image, and a number of blocks."""


def map_runs(logical: Iterable[Run], physical: Iterable[Run]) -> list[Extent]:
    """Lay the parts of a file that are not holes over the blocks taken for them, in order."""
    extents = []
    available = iter(physical)
    start, left = 0, 0
    for first, length in logical:
        at, rest = first, length
        while rest:
            if not left:
                start, left = next(available)
            here = min(rest, left, MAX_EXTENT_BLOCKS)
            extents.append((at, start, here))
            at, rest, start, left = at + here, rest - here, start + here, left - here
    return extents


def blocks_needed(extents: int) -> int:
    """How many blocks the tree of so many extents takes besides the inode."""
    total = 0
    while extents > IN_INODE:
        extents = -(-extents // IN_BLOCK)
        total += extents
    return total


def encode_tree(
    extents: list[Extent], take_block: Callable[[], int], put: Callable[[int, bytes], None], seed: int
) -> bytes:
    """Return the 60 bytes of the inode. Blocks of the tree are asked for with `take_block` and given to `put`.

    `seed` is the inode's checksum seed.
    """
    entries = [
        (logical, _LEAF.pack(logical, length, start >> 32, start & 0xFFFFFFFF)) for logical, start, length in extents
    ]
    depth = 0
    while len(entries) > IN_INODE:
        above = []
        for at in range(0, len(entries), IN_BLOCK):
            part = entries[at : at + IN_BLOCK]
            block = take_block()
            body = _node([entry for _, entry in part], IN_BLOCK, depth).ljust(BLOCK_BYTES - 4, b"\0")
            put(block, body + struct.pack("<I", crc32c(body, seed)))
            above.append((part[0][0], _INDEX.pack(part[0][0], block & 0xFFFFFFFF, block >> 32, 0)))
        entries = above
        depth += 1
    return _node([entry for _, entry in entries], IN_INODE, depth).ljust(60, b"\0")


def _node(entries: list[bytes], limit: int, depth: int) -> bytes:
    return _HEADER.pack(_MAGIC, len(entries), limit, depth, 0) + b"".join(entries)
