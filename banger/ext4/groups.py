"""Write what describes the block groups once all inodes and blocks are given out: bitmaps, descriptors, superblocks.

Source: kernel Documentation/filesystems/ext4, "Block and inode Bitmaps", "Block Group Descriptors", "Super Block".
"""

import functools
import stat
from collections import Counter
from typing import Protocol

from banger.ext4.checksum import crc32c
from banger.ext4.layout import BLOCK_BYTES, FIRST_INODE, Geometry
from banger.ext4.options import ImageOptions
from banger.ext4.output import ImageFile
from banger.ext4.plan import Plan
from banger.ext4.superblock import SUPERBLOCK_OFFSET, encode_descriptor, encode_superblock


class Bitmaps(Protocol):
    """What knows which blocks are free."""

    def bitmap(self, group: int) -> tuple[bytes, int]:
        """A group's block bitmap, and how many blocks of the group are free. Bits beyond the last block are set."""
        ...


def write_groups(
    plan: Plan, options: ImageOptions, blocks: Bitmaps, image: ImageFile, fs_seed: int, journal: bytes
) -> None:
    """Write all bitmaps, then every copy of the descriptors and the superblock.

    The primary superblock is last: an image without it is no file system.
    """
    geometry = plan.geometry
    used_inodes = FIRST_INODE - 1 + len(plan.nodes) - 1
    directories = Counter((node.ino - 1) // geometry.inodes_per_group for node in plan.nodes if stat.S_ISDIR(node.mode))
    checksum = functools.cache(lambda bitmap: crc32c(bitmap, fs_seed))
    descriptors = b""
    all_free = 0
    for group in range(geometry.group_count):
        block_bitmap, free = blocks.bitmap(group)
        image.put(geometry.block_bitmap(group), block_bitmap)
        all_free += free
        inode_bitmap, free_inodes = _inode_bitmap(geometry, group, used_inodes)
        inode_checksum = 0
        if inode_bitmap:
            image.put(geometry.inode_bitmap(group), inode_bitmap)
            inode_checksum = checksum(inode_bitmap[: geometry.inodes_per_group // 8])
        counts = free, free_inodes, directories[group]
        descriptors += encode_descriptor(geometry, group, counts, (checksum(block_bitmap), inode_checksum), fs_seed)
    free_inodes = geometry.inode_count - used_inodes
    for group in (*geometry.backup_groups, 0):
        start = geometry.group_start(group)
        image.put(start + 1, descriptors)
        superblock = encode_superblock(geometry, options, all_free, free_inodes, journal, group=group)
        image.flush()
        image.put_at(start * BLOCK_BYTES + (0 if group else SUPERBLOCK_OFFSET), superblock)


def _inode_bitmap(geometry: Geometry, group: int, used_inodes: int) -> tuple[bytes, int]:
    """A group's inode bitmap and its free inodes. A group without used inodes is marked so and needs no bitmap."""
    per_group = geometry.inodes_per_group
    used = min(max(used_inodes - group * per_group, 0), per_group)
    if not used:
        return b"", per_group
    bits = (1 << used) - 1 | (1 << 8 * BLOCK_BYTES) - (1 << per_group)
    return bits.to_bytes(BLOCK_BYTES, "little"), per_group - used
