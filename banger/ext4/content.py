"""Store what is in files, directories, symlinks and attribute blocks, and say where it went."""

import stat
import struct
from collections.abc import Mapping
from typing import Protocol

from banger.ext4.allocate import Run
from banger.ext4.checksum import inode_seed
from banger.ext4.directory import LINEAR_BLOCKS, empty_block, encode_directory
from banger.ext4.extents import Extent, encode_tree, map_runs
from banger.ext4.htree import encode_indexed
from banger.ext4.inode import EXTENTS_FLAG, FAST_SYMLINK_BYTES, INDEX_FLAG, XATTR_SPACE, Storage, device_area, is_device
from banger.ext4.layout import BLOCK_BYTES
from banger.ext4.plan import LOST_FOUND_BLOCKS
from banger.ext4.tree import Node
from banger.ext4.xattr import in_block, in_inode


class Blocks(Protocol):
    """What gives blocks out."""

    taken: int

    def take(self, count: int) -> list[Run]:
        """Take so many blocks, in ascending order."""
        ...


class Image(Protocol):
    """What takes the content of blocks."""

    def put(self, block: int, data: bytes | memoryview) -> None:
        """Write `data` at the beginning of a block, with zeros up to the end of its last block."""


class ContentWriter:
    """Takes blocks for one node after another and fills them. `seeds` are those of checksums and of names' hashes."""

    def __init__(
        self,
        lost_found: Node,
        image: Image,
        blocks: Blocks,
        seeds: tuple[int, bytes],
        *,
        runs: Mapping[int, list[Run]] | None = None,
        tar: memoryview | None = None,
    ) -> None:
        self._lost_found = lost_found
        self._runs = runs or {}
        self._tar = tar
        self._image = image
        self._blocks = blocks
        self._seed, self._hash_seed = seeds

    def store(self, node: Node) -> Storage:
        """Write a node's content and attributes; the result is what its inode must say."""
        storage = self._content(node)
        if node.xattrs:
            inline = in_inode(node.xattrs, XATTR_SPACE)
            if inline is None:
                [(block, _)] = self._blocks.take(1)
                self._image.put(block, in_block(node.xattrs, block, self._seed))
                storage.xattr_block = block
                storage.blocks += 1
            else:
                storage.inline_xattrs = inline
        return storage

    def map_unwritten(self, ino: int, count: int) -> tuple[bytes, list[Run], int]:
        """Take `count` blocks that stay holes of the image; return the block area, the runs and all blocks taken."""
        runs = self._blocks.take(count)
        area, used = self._tree(ino, map_runs([(0, count)], runs))
        return area, runs, used

    def _content(self, node: Node) -> Storage:
        if node.children is not None:
            return self._directory(node)
        if stat.S_ISREG(node.mode):
            return self._file(node)
        if stat.S_ISLNK(node.mode):
            return self._symlink(node)
        area = device_area(node) if is_device(node) else b""
        return Storage(0, 0, area.ljust(60, b"\0"))

    def _file(self, node: Node) -> Storage:
        total = -(-node.size // BLOCK_BYTES)
        if node.block or node.extents is not None:
            stored = node.extents if node.extents is not None else map_runs([(0, total)], [(node.block, total)])
            return self._mapped(node, node.size, stored)
        logical = self._runs.get(node.ino, [(0, total)] if total else [])
        extents = map_runs(logical, self._blocks.take(sum(length for _, length in logical)))
        content = node.content
        if content is None and self._tar is not None:
            data = self._tar[node.offset : node.offset + node.size]
        else:
            data = memoryview(content or b"")
        for first, start, length in extents:
            self._image.put(start, data[first * BLOCK_BYTES : (first + length) * BLOCK_BYTES])
        return self._mapped(node, node.size, extents)

    def _directory(self, node: Node) -> Storage:
        assert node.children is not None
        assert node.parent is not None
        children = node.children
        entries = [(name, children[name].ino, children[name].mode) for name in sorted(children)]
        encoded = encode_directory(node.ino, node.parent.ino, entries, self._seed)
        flags = 0
        if node is self._lost_found:
            spare = empty_block(node.ino, self._seed)
            encoded.extend(spare for _ in range(LOST_FOUND_BLOCKS - len(encoded)))
        elif len(encoded) > LINEAR_BLOCKS:
            encoded = encode_indexed(node.ino, node.parent.ino, entries, self._hash_seed, self._seed)
            flags = INDEX_FLAG
        extents = map_runs([(0, len(encoded))], self._blocks.take(len(encoded)))
        for first, start, length in extents:
            self._image.put(start, b"".join(encoded[first : first + length]))
        storage = self._mapped(node, len(encoded) * BLOCK_BYTES, extents)
        storage.flags |= flags
        return storage

    def _symlink(self, node: Node) -> Storage:
        if len(node.target) < FAST_SYMLINK_BYTES:
            return Storage(len(node.target), 0, node.target.ljust(60, b"\0"))
        extents = map_runs([(0, 1)], self._blocks.take(1))
        self._image.put(extents[0][1], node.target)
        return self._mapped(node, len(node.target), extents)

    def _mapped(self, node: Node, size: int, extents: list[Extent]) -> Storage:
        area, used = self._tree(node.ino, extents)
        return Storage(size, used, area, EXTENTS_FLAG)

    def _tree(self, ino: int, extents: list[Extent]) -> tuple[bytes, int]:
        """The block area of an inode, and how many blocks the content and its tree take."""
        before = self._blocks.taken
        area = encode_tree(extents, self._take_block, self._image.put, inode_seed(self._seed, ino))
        return area, sum(length for _, _, length in extents) + self._blocks.taken - before

    def _take_block(self) -> int:
        return self._blocks.take(1)[0][0]


def backup_of_journal(area: bytes, size: int) -> bytes:
    """What the superblock keeps of the journal's inode: its block area and its size."""
    return area + struct.pack("<II", size >> 32, size & 0xFFFFFFFF)
