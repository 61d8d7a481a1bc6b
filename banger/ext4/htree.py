"""Large directories: leaf blocks in the order of their names' hashes, found through a tree of index blocks.

Source: kernel Documentation/filesystems/ext4, "Hash Tree Directories"; fs/ext4/hash.c for the hash (half MD4 over
signed characters, as the superblock says).
"""

import struct
from collections.abc import Sequence

from banger.ext4.checksum import crc32c, inode_seed
from banger.ext4.directory import (
    ENTRY,
    USABLE_BYTES,
    Entry,
    closed_block,
    entry_bytes,
    entry_length,
)
from banger.ext4.layout import BLOCK_BYTES

_HALF_MD4 = 1
_MASK = 0xFFFFFFFF
_END_OF_DIRECTORY = 0x7FFFFFFF
_DIRECTORY_TYPE = 2
_ROOT_HEAD_BYTES = 32
_NODE_HEAD_BYTES = 8
_TAIL_BYTES = 8
_ROOT_LIMIT = (BLOCK_BYTES - _ROOT_HEAD_BYTES - _TAIL_BYTES) // 8
_NODE_LIMIT = (BLOCK_BYTES - _NODE_HEAD_BYTES - _TAIL_BYTES) // 8
_K2, _K3 = 0x5A827999, 0x6ED9EBA1
_CHUNK_BYTES = 32
_NO_SEED = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)

_Leaf = tuple[int, bytes]
"""The hash at which a block begins (its lowest bit: the block before ends with the same hash), and the block."""


def encode_indexed(ino: int, parent: int, entries: Sequence[Entry], hash_seed: bytes, fs_seed: int) -> list[bytes]:
    """Return the blocks of a directory that has more entries than one block: the root of the index first."""
    seed = inode_seed(fs_seed, ino)
    start = _start(hash_seed)
    hashed = sorted((*half_md4(entry[0], start), entry) for entry in entries)
    leaves = _leaves(hashed, seed)
    levels = 0
    above = [(hash_, number) for number, (hash_, _) in enumerate(leaves, 1)]
    nodes: list[bytes] = []
    if len(leaves) > _ROOT_LIMIT:
        levels = 1
        pieces = [above[at : at + _NODE_LIMIT] for at in range(0, len(above), _NODE_LIMIT)]
        nodes = [_node(piece, seed) for piece in pieces]
        above = [(piece[0][0], 1 + len(leaves) + number) for number, piece in enumerate(pieces)]
    root = _root(ino, parent, levels, above, seed)
    return [root, *(block for _, block in leaves), *nodes]


def half_md4(name: bytes, start: tuple[int, int, int, int]) -> tuple[int, int]:
    """Return the major and minor hash of a name (`ext4fs_dirhash`)."""
    a, b, c, d = start
    left = len(name)
    at = 0
    while left > 0:
        a, b, c, d = _transform((a, b, c, d), _words(name[at : at + _CHUNK_BYTES], left))
        at += _CHUNK_BYTES
        left -= _CHUNK_BYTES
    major = b & ~1
    return (major if major != _END_OF_DIRECTORY << 1 else (_END_OF_DIRECTORY - 1) << 1), c


def _start(hash_seed: bytes) -> tuple[int, int, int, int]:
    words = struct.unpack("<4I", hash_seed)
    return words if any(words) else _NO_SEED


def _words(part: bytes, left: int) -> list[int]:
    """`str2hashbuf_signed`: eight words, big end first, characters signed, filled up with the length."""
    padding = (left & _MASK) | left << 8
    padding = (padding | padding << 16) & _MASK
    words = []
    value = padding
    for index, byte in enumerate(part):
        value = ((byte if byte < 128 else byte - 256) + (value << 8)) & _MASK  # noqa: PLR2004
        if index % 4 == 3:  # noqa: PLR2004
            words.append(value)
            value = padding
    if len(words) < 8:  # noqa: PLR2004
        words.append(value)
    return words + [padding] * (8 - len(words))


def _transform(state: tuple[int, int, int, int], words: list[int]) -> tuple[int, int, int, int]:
    """`half_md4_transform`: three rounds of eight steps."""
    a, b, c, d = state
    for at in (0, 4):
        a = _rotated(a + (d ^ (b & (c ^ d))) + words[at], 3)
        d = _rotated(d + (c ^ (a & (b ^ c))) + words[at + 1], 7)
        c = _rotated(c + (b ^ (d & (a ^ b))) + words[at + 2], 11)
        b = _rotated(b + (a ^ (c & (d ^ a))) + words[at + 3], 19)
    for first, second, third, fourth in ((1, 3, 5, 7), (0, 2, 4, 6)):
        a = _rotated(a + ((b & c) + ((b ^ c) & d)) + words[first] + _K2, 3)
        d = _rotated(d + ((a & b) + ((a ^ b) & c)) + words[second] + _K2, 5)
        c = _rotated(c + ((d & a) + ((d ^ a) & b)) + words[third] + _K2, 9)
        b = _rotated(b + ((c & d) + ((c ^ d) & a)) + words[fourth] + _K2, 13)
    for first, second, third, fourth in ((3, 7, 2, 6), (1, 5, 0, 4)):
        a = _rotated(a + (b ^ c ^ d) + words[first] + _K3, 3)
        d = _rotated(d + (a ^ b ^ c) + words[second] + _K3, 9)
        c = _rotated(c + (d ^ a ^ b) + words[third] + _K3, 11)
        b = _rotated(b + (c ^ d ^ a) + words[fourth] + _K3, 15)
    return (
        (state[0] + a) & _MASK,
        (state[1] + b) & _MASK,
        (state[2] + c) & _MASK,
        (state[3] + d) & _MASK,
    )


def _rotated(value: int, bits: int) -> int:
    value &= _MASK
    return (value << bits | value >> (32 - bits)) & _MASK


def _leaves(hashed: list[tuple[int, int, Entry]], seed: int) -> list[_Leaf]:
    leaves: list[_Leaf] = []
    area = bytearray()
    last = first = before = 0
    for hash_, _, entry in hashed:
        if len(area) + entry_length(entry[0]) > USABLE_BYTES:
            leaves.append((first, closed_block(area, last, seed)))
            area = bytearray()
            first = hash_ | (hash_ == before)
        last = len(area)
        area += entry_bytes(entry)
        before = hash_
    leaves.append((first, closed_block(area, last, seed)))
    return leaves


def _root(ino: int, parent: int, levels: int, entries: list[tuple[int, int]], seed: int) -> bytes:
    dot = ENTRY.pack(ino, 12, 1, _DIRECTORY_TYPE) + b".\0\0\0"
    dots = ENTRY.pack(parent, BLOCK_BYTES - 12, 2, _DIRECTORY_TYPE) + b"..\0\0"
    info = struct.pack("<IBBBB", 0, _HALF_MD4, 8, levels, 0)
    return _index(dot + dots + info, _ROOT_LIMIT, entries, seed)


def _node(entries: list[tuple[int, int]], seed: int) -> bytes:
    return _index(ENTRY.pack(0, BLOCK_BYTES, 0, 0), _NODE_LIMIT, entries, seed)


def _index(head: bytes, limit: int, entries: list[tuple[int, int]], seed: int) -> bytes:
    """An index block; the first entry has no hash, its place holds the limit and the count. The checksum covers what is
    used, and then the tail as if its checksum were zero (`ext4_dx_csum`)."""
    assert len(entries) <= limit
    used = head + struct.pack("<HHI", limit, len(entries), entries[0][1])
    used += b"".join(struct.pack("<II", hash_, block) for hash_, block in entries[1:])
    checksum = crc32c(used + bytes(_TAIL_BYTES), seed)
    return used.ljust(BLOCK_BYTES - _TAIL_BYTES, b"\0") + struct.pack("<II", 0, checksum)
