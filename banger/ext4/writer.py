"""Write an ext4 image from a tar: the tree is read and planned, then written; the tar is never unpacked."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from banger.ext4.allocate import BlockAllocator
from banger.ext4.checksum import filesystem_seed
from banger.ext4.content import ContentWriter, backup_of_journal
from banger.ext4.groups import write_groups
from banger.ext4.inode import EXTENTS_FLAG, Storage, encode_inode
from banger.ext4.layout import BLOCK_BYTES, FIRST_INODE, INODE_BYTES
from banger.ext4.mapped import mapped
from banger.ext4.options import ImageOptions, ImageStats
from banger.ext4.output import ImageFile, new_image
from banger.ext4.plan import ROOT_INODE, Plan, make_plan
from banger.ext4.selection import select
from banger.ext4.special import (
    RESIZE_SIZE,
    journal_superblock,
    resize_area,
    resize_block_count,
    resize_blocks,
    resize_pointers,
)
from banger.ext4.superblock import JOURNAL_INODE
from banger.ext4.tarsource import members
from banger.ext4.tree import Node, Tree, directory

_RESIZE_INODE = 7
_TABLE_FLUSH_BYTES = 1 << 20


def write_image(source: BinaryIO | Path, dest: Path, options: ImageOptions) -> ImageStats:
    """Write the tree of an uncompressed tar as an ext4 image; equal trees and options give equal bytes.

    `dest` appears, durable, when the image is whole, and not at all on failure. Raises SpecError that names the entry
    for a malformed tar or one that does not fit, NotFoundError for a missing subtree, HostError if the host refuses.
    """
    options.check()
    with mapped(source, dest.parent) as tar:
        tree = Tree(directory(options.root_mode, options.time), options.time)
        for member in members(tar):
            tree.add(member)
        tree.resolve()
        plan = make_plan(select(tree, options), tar, options)
        size_bytes = options.size_bytes or plan.geometry.block_count * BLOCK_BYTES
        with new_image(dest) as fd:
            os.truncate(fd, size_bytes)
            image = ImageFile(fd)
            used = _write(plan, memoryview(tar), options, image)
    return ImageStats(len(plan.nodes), used, size_bytes, image.written_bytes)


def _write(plan: Plan, tar: memoryview, options: ImageOptions, image: ImageFile) -> int:
    """Write everything; return how many blocks are used."""
    seed = filesystem_seed(options.uuid)
    blocks = BlockAllocator(plan.geometry)
    content = ContentWriter(plan.lost_found, image, blocks, (seed, options.hash_seed), runs=plan.runs, tar=tar)
    table = _InodeTable(plan, image, options.time, seed)
    journal = _journal(plan, content, image, table, options.uuid)
    _resize_inode(plan, blocks, image, table)
    for node in plan.nodes:
        table.add(node, content.store(node))
    table.flush()
    write_groups(plan, options, blocks, image, seed, journal)
    return blocks.taken + plan.geometry.metadata_blocks()


def _journal(plan: Plan, content: ContentWriter, image: ImageFile, table: "_InodeTable", uuid: bytes) -> bytes:
    """Make an empty journal; only its first block is not a hole. Return what the superblock keeps of its inode."""
    count = plan.geometry.journal_blocks
    area, runs, used = content.map_unwritten(JOURNAL_INODE, count)
    image.put(runs[0][0], journal_superblock(count, uuid))
    size = count * BLOCK_BYTES
    table.add_special(JOURNAL_INODE, Storage(size, used, area, EXTENTS_FLAG))
    return backup_of_journal(area, size)


def _resize_inode(plan: Plan, blocks: BlockAllocator, image: ImageFile, table: "_InodeTable") -> None:
    [(block, _)] = blocks.take(1)
    image.put(block, resize_pointers(plan.geometry))
    for reserved, pointers in resize_blocks(plan.geometry):
        image.put(reserved, pointers)
    table.add_special(_RESIZE_INODE, Storage(RESIZE_SIZE, resize_block_count(plan.geometry), resize_area(block)))


class _InodeTable:
    """Encodes inodes and writes them in long pieces: after the reserved ones they come in order of number."""

    def __init__(self, plan: Plan, image: ImageFile, time: int, fs_seed: int) -> None:
        self._geometry = plan.geometry
        self._image = image
        self._time = time
        self._seed = fs_seed
        self._pending = bytearray()
        self._next = FIRST_INODE

    def add(self, node: Node, storage: Storage) -> None:
        if node.ino == ROOT_INODE:
            self._put(ROOT_INODE, node, storage)
            return
        self._pending += encode_inode(node, storage, node.ino, self._seed, self._time, latest=self._time)
        if node.ino % self._geometry.inodes_per_group == 0 or len(self._pending) >= _TABLE_FLUSH_BYTES:
            self.flush()

    def add_special(self, ino: int, storage: Storage) -> None:
        node = Node(stat.S_IFREG | 0o600, 0, 0, self._time)
        node.links = 1
        self._put(ino, node, storage)

    def flush(self) -> None:
        if self._pending:
            self._image.put_at(self._geometry.inode_position(self._next), bytes(self._pending))
            self._next += len(self._pending) // INODE_BYTES
            self._pending.clear()

    def _put(self, ino: int, node: Node, storage: Storage) -> None:
        raw = encode_inode(node, storage, ino, self._seed, self._time, latest=self._time)
        self._image.put_at(self._geometry.inode_position(ino), raw)
