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
_ENTRY = struct.Struct("<IHBB")
_TAIL = struct.Struct("<IHBBI")
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

Entry = tuple[bytes, int, int]
"""A name, an inode and the mode of the inode."""


def most_blocks(names: Iterable[bytes]) -> int:
    """How many blocks a directory of such names takes at most."""
    total = 2 * _length(b"..") + sum(_length(name) for name in names)
    return 1 if total <= USABLE_BYTES else -(-total // (USABLE_BYTES - _MAX_ENTRY_BYTES + 1))


def encode_directory(ino: int, parent: int, entries: Iterable[Entry], fs_seed: int) -> list[bytes]:
    """Return the blocks of a directory with `.` and `..` before `entries`."""
    seed = inode_seed(fs_seed, ino)
    directory = stat.S_IFDIR
    blocks: list[bytes] = []
    area = bytearray()
    last = 0
    for name, inode, mode in ((b".", ino, directory), (b"..", parent, directory), *entries):
        length = _length(name)
        if len(area) + length > USABLE_BYTES:
            blocks.append(_closed(area, last, seed))
            area = bytearray()
        last = len(area)
        area += _ENTRY.pack(inode, length, len(name), _FILE_TYPES[stat.S_IFMT(mode)])
        area += name.ljust(length - _ENTRY.size, b"\0")
    blocks.append(_closed(area, last, seed))
    return blocks


def empty_block(ino: int, fs_seed: int) -> bytes:
    """A block of a directory without any entry."""
    return _closed(bytearray(_ENTRY.pack(0, USABLE_BYTES, 0, 0)), 0, inode_seed(fs_seed, ino))


def _length(name: bytes) -> int:
    return (_ENTRY.size + len(name) + 3) & ~3


def _closed(area: bytearray, last: int, seed: int) -> bytes:
    """Stretch the last entry to the end of the block and add the tail."""
    struct.pack_into("<H", area, last + 4, USABLE_BYTES - last)
    body = bytes(area.ljust(USABLE_BYTES, b"\0"))
    return body + _TAIL.pack(0, TAIL_BYTES, 0, _TAIL_TYPE, crc32c(body, seed))
