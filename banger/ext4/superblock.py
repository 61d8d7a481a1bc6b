"""Encode the superblock and the group descriptors.

Source: kernel Documentation/filesystems/ext4, "Super Block" and "Block Group Descriptors". The features are those that
mke2fs 1.47 gives an ext4 of this size, so that every kernel and e2fsprogs of Debian 12 knows them.
"""

import struct

from banger.ext4.checksum import crc32c
from banger.ext4.layout import BLOCKS_PER_GROUP, DESCRIPTOR_BYTES, FIRST_INODE, INODE_BYTES, Geometry
from banger.ext4.options import ImageOptions

SUPERBLOCK_BYTES = 1024
SUPERBLOCK_OFFSET = 1024
JOURNAL_INODE = 8
INODE_UNINIT = 1
INODE_ZEROED = 4
_COMPAT = 0x4 | 0x8 | 0x10 | 0x20  # has_journal, ext_attr, resize_inode, dir_index
_INCOMPAT = 0x2 | 0x40 | 0x80 | 0x200  # filetype, extents, 64bit, flex_bg
_RO_COMPAT = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | 0x400  # sparse_super, large_file, huge_file, dir_nlink, extra_isize, csum
_DEFAULT_MOUNT = 0x4 | 0x8  # user_xattr, acl
_CHECKSUM_AT = 1020
_DESCRIPTOR = struct.Struct("<IIIHHHHIHHHHIIIHHHHIHHI")
_DESCRIPTOR_CHECKSUM_AT = 30

assert _DESCRIPTOR.size == DESCRIPTOR_BYTES


def encode_superblock(
    geometry: Geometry, options: ImageOptions, free_blocks: int, free_inodes: int, journal: bytes, *, group: int
) -> bytes:
    """Encode the copy of the superblock for a group. `journal` is what it keeps of the journal's inode."""
    raw = bytearray(SUPERBLOCK_BYTES)
    time = options.time
    fields: tuple[tuple[int, str, int | bytes], ...] = (
        (0x00, "I", geometry.inode_count),
        (0x04, "I", geometry.block_count),
        (0x08, "I", geometry.block_count * options.reserved_percent // 100),
        (0x0C, "I", free_blocks),
        (0x10, "I", free_inodes),
        (0x18, "I", 2),  # block size: 1024 << 2
        (0x1C, "I", 2),  # cluster size
        (0x20, "I", BLOCKS_PER_GROUP),
        (0x24, "I", BLOCKS_PER_GROUP),
        (0x28, "I", geometry.inodes_per_group),
        (0x30, "I", time),  # last write
        (0x36, "H", 0xFFFF),  # no check after a number of mounts
        (0x38, "H", 0xEF53),
        (0x3A, "H", 1),  # cleanly unmounted
        (0x3C, "H", 1),  # on errors: continue
        (0x40, "I", time),  # last check
        (0x4C, "I", 1),  # revision: dynamic
        (0x54, "I", FIRST_INODE),
        (0x58, "H", INODE_BYTES),
        (0x5A, "H", group),
        (0x5C, "I", _COMPAT),
        (0x60, "I", _INCOMPAT),
        (0x64, "I", _RO_COMPAT),
        (0x68, "16s", options.uuid),
        (0x78, "16s", options.label.encode()),
        (0xCE, "H", geometry.reserved_descriptor_blocks),
        (0xE0, "I", JOURNAL_INODE),
        (0xEC, "16s", options.hash_seed),
        (0xFC, "B", 1),  # hash of directories: half MD4
        (0xFD, "B", 1),  # the journal's inode is backed up below
        (0xFE, "H", DESCRIPTOR_BYTES),
        (0x100, "I", _DEFAULT_MOUNT),
        (0x108, "I", time),  # made
        (0x10C, "68s", journal),
        (0x15C, "H", 32),
        (0x15E, "H", 32),
        (0x160, "I", 1),  # names are hashed as signed characters
        (0x174, "B", geometry.log_flex),
        (0x175, "B", 1),  # checksums: crc32c
        (0x248, "I", geometry.metadata_blocks() + geometry.journal_blocks),
    )
    for offset, code, value in fields:
        struct.pack_into("<" + code, raw, offset, value)
    struct.pack_into("<I", raw, _CHECKSUM_AT, crc32c(bytes(raw[:_CHECKSUM_AT])))
    return bytes(raw)


def encode_descriptor(
    geometry: Geometry, group: int, free: tuple[int, int, int], checksums: tuple[int, int], fs_seed: int
) -> bytes:
    """Encode one group descriptor.

    `free` is (free blocks, free inodes, directories); `checksums` those of the block and the inode bitmap. Tables of
    inodes are zero (holes of the file) where they are unused, so the kernel need not clear them.
    """
    free_blocks, free_inodes, directories = free
    is_unused = free_inodes == geometry.inodes_per_group
    positions = geometry.block_bitmap(group), geometry.inode_bitmap(group), geometry.inode_table(group)
    raw = bytearray(
        _DESCRIPTOR.pack(
            *(position & 0xFFFFFFFF for position in positions),
            free_blocks,
            free_inodes,
            directories,
            INODE_ZEROED | (INODE_UNINIT if is_unused else 0),
            0,
            checksums[0] & 0xFFFF,
            checksums[1] & 0xFFFF,
            free_inodes,
            0,
            *(position >> 32 for position in positions),
            0,
            0,
            0,
            0,
            0,
            checksums[0] >> 16,
            checksums[1] >> 16,
            0,
        )
    )
    checksum = crc32c(struct.pack("<I", group) + raw, fs_seed) & 0xFFFF
    struct.pack_into("<H", raw, _DESCRIPTOR_CHECKSUM_AT, checksum)
    return bytes(raw)
