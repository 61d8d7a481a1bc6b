"""Encode directories: linear blocks of entries, each block with its checksum.

Source: kernel Documentation/filesystems/ext4, "Directory Entries", "Linear (Classic) Directories" and "Directory Tail".
"""

import stat
import struct
from collections.abc import Iterable

from banger.ext4.checksum import crc32c, inode_seed
from banger.ext4.layout import BLOCK_BYTES

TAIL_BYTES = 12
USABLE_BYTES = BLOCK_BYTES - TAIL_BYTES
ENTRY = struct.Struct("<IHBB")
_TAIL = struct.Struct("<IHBBI")
LINEAR_BLOCKS = 8
"""A directory with more blocks gets an index (`htree`); with fewer the kernel is about as fast without."""
_LEAVES_OF_AN_INDEX_BLOCK = 500
_TAIL_TYPE = 0xDE
_DIRECTORY_TYPE = 2
_MAX_ENTRY_BYTES = 264
_FILE_TYPES = {
    stat.S_IFREG: 1,
    stat.S_IFDIR: 2,
    stat.S_IFCHR: 3,
    stat.S_IFBLK: 4,
    stat.S_IFIFO: 5,
    stat.S_IFLNK: 7,
}
_TYPES = tuple(_FILE_TYPES.get(kind << 12, 0) for kind in range(16))
_ENTRIES = tuple(struct.Struct(f"<IHBB{(length + 3) & ~3}s") for length in range(256))
"""An entry by the length of its name, which zeros fill up."""

Entry = tuple[bytes, int, int]
"""A name, an inode and the mode of the inode."""


def most_blocks(names: Iterable[bytes]) -> int:
    """How many blocks a directory of such names takes at most."""
    total = 2 * entry_length(b"..") + sum(entry_length(name) for name in names)
    blocks = 1 if total <= USABLE_BYTES else -(-total // (USABLE_BYTES - _MAX_ENTRY_BYTES + 1))
    return blocks if blocks <= LINEAR_BLOCKS else blocks + 2 + blocks // _LEAVES_OF_AN_INDEX_BLOCK


def encode_directory(ino: int, parent: int, entries: Iterable[Entry], fs_seed: int) -> list[bytes]:
    """Return the blocks of a directory with `.` and `..` before `entries`."""
    seed = inode_seed(fs_seed, ino)
    directory = stat.S_IFDIR
    blocks: list[bytes] = []
    parts: list[bytes] = []
    used = last = 0
    for entry in ((b".", ino, directory), (b"..", parent, directory), *entries):
        encoded = entry_bytes(entry)
        length = len(encoded)
        if used + length > USABLE_BYTES:
            blocks.append(closed_block(bytearray().join(parts), last, seed))
            parts, used = [], 0
        last = used
        used += length
        parts.append(encoded)
    blocks.append(closed_block(bytearray().join(parts), last, seed))
    return blocks


def empty_block(ino: int, fs_seed: int) -> bytes:
    """A block of a directory without any entry."""
    return closed_block(bytearray(ENTRY.pack(0, USABLE_BYTES, 0, 0)), 0, inode_seed(fs_seed, ino))


def entry_length(name: bytes) -> int:
    """How many bytes an entry takes."""
    return (ENTRY.size + len(name) + 3) & ~3


def entry_bytes(entry: Entry) -> bytes:
    """Encode one entry."""
    name, inode, mode = entry
    length = len(name)
    return _ENTRIES[length].pack(inode, (length + 11) & ~3, length, _TYPES[mode >> 12], name)


def closed_block(area: bytearray, last: int, seed: int) -> bytes:
    """Stretch the last entry to the end of the block and add the tail."""
    struct.pack_into("<H", area, last + 4, USABLE_BYTES - last)
    body = bytes(area.ljust(USABLE_BYTES, b"\0"))
    return body + _TAIL.pack(0, TAIL_BYTES, 0, _TAIL_TYPE, crc32c(body, seed))
