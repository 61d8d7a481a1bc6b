"""The content of the two inodes that users do not see: the journal, and the blocks kept for more group descriptors.

Sources: kernel Documentation/filesystems/ext4, "Journal (jbd2)", "Super Block"; e2fsprogs lib/ext2fs/res_gdt.c for the
resize inode, whose form the kernel's fs/ext4/resize.c checks.
"""

import struct
from collections.abc import Iterator

from banger.ext4.layout import BLOCK_BYTES, Geometry

_POINTERS = BLOCK_BYTES // 4
_DIRECT_BLOCKS = 12
_DOUBLE_INDIRECT = 13
RESIZE_SIZE = (_POINTERS * _POINTERS + _POINTERS + _DIRECT_BLOCKS) * BLOCK_BYTES


def journal_superblock(blocks: int, uuid: bytes) -> bytes:
    """The first block of an empty journal of so many blocks: version 2, big-endian, nothing to replay."""
    head = struct.pack(">IIIIIIIII", 0xC03B3998, 4, 0, BLOCK_BYTES, blocks, 1, 1, 0, 0)
    return (head.ljust(0x30, b"\0") + uuid + struct.pack(">I", 1)).ljust(BLOCK_BYTES, b"\0")


def resize_area(double_indirect: int) -> bytes:
    """The 60 block bytes of the resize inode: only its double indirect block."""
    return struct.pack("<I", double_indirect).rjust(4 * (_DOUBLE_INDIRECT + 1), b"\0").ljust(60, b"\0")


def resize_blocks(geometry: Geometry) -> Iterator[tuple[int, bytes]]:
    """Yield (block, content) of every reserved block of group 0: each points to its copies in the backup groups."""
    copies = [geometry.group_start(group) for group in geometry.backup_groups]
    first = 1 + geometry.descriptor_blocks
    for block in range(first, first + geometry.reserved_descriptor_blocks):
        pointers = [block + copy for copy in copies]
        yield block, struct.pack(f"<{len(pointers)}I", *pointers).ljust(BLOCK_BYTES, b"\0")


def resize_pointers(geometry: Geometry) -> bytes:
    """The double indirect block: the reserved block n stands at place n of all blocks of descriptors."""
    first = geometry.descriptor_blocks
    numbers = range(first + 1, first + 1 + geometry.reserved_descriptor_blocks)
    return (bytes(4 * first) + struct.pack(f"<{len(numbers)}I", *numbers)).ljust(BLOCK_BYTES, b"\0")


def resize_block_count(geometry: Geometry) -> int:
    """How many blocks belong to the resize inode."""
    return 1 + geometry.reserved_descriptor_blocks * (1 + len(geometry.backup_groups))
