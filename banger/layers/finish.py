"""Write what describes the files of an image whose content is in place: directories, inodes, tables, the journal."""

import os
import stat

from banger.ext4.allocate import Run
from banger.ext4.checksum import filesystem_seed
from banger.ext4.content import ContentWriter, backup_of_journal
from banger.ext4.groups import write_groups
from banger.ext4.inode import EXTENTS_FLAG, Storage, encode_inode
from banger.ext4.layout import BLOCK_BYTES, FIRST_INODE, INODE_BYTES, Geometry
from banger.ext4.options import ImageOptions, ImageStats
from banger.ext4.output import ImageFile
from banger.ext4.plan import ROOT_INODE, Plan
from banger.ext4.special import (
    RESIZE_SIZE,
    journal_superblock,
    resize_area,
    resize_block_count,
    resize_blocks,
    resize_pointers,
)
from banger.ext4.superblock import JOURNAL_INODE
from banger.ext4.tree import Node
from banger.layers.inodes import encode_inodes, is_simple
from banger.layers.numbering import Numbered, number_nodes
from banger.layers.placed import PlacedGeometry, place_tables, shape
from banger.layers.placer import Placer

_RESIZE_INODE = 7


def finish_image(fd: int, root: Node, placer: Placer, placed: list[Node], options: ImageOptions) -> ImageStats:
    """Number what is below `root`, release what is not, write the rest of the image; it is not flushed to the disk.

    `placed` has every node with blocks, in their order. Raises SpecError if it cannot be an image, OSError.
    """
    numbered = number_nodes(root, options.time)
    placer.release([run for node in placed if not node.ino for run in runs_of(node)])
    seed = filesystem_seed(options.uuid)
    content = ContentWriter(numbered.lost_found, placer, placer, (seed, options.hash_seed))
    storages = {node.ino: content.store(node) for node in numbered.nodes if not is_simple(node)}
    resize_block = placer.take(1)[0][0]
    inodes = FIRST_INODE + len(numbered.nodes) - 1
    plain = shape(placer, placer.taken, inodes, options.size_bytes, options.slack_bytes)
    size_bytes = options.size_bytes or plain.block_count * BLOCK_BYTES
    os.truncate(fd, size_bytes)
    journal_area, journal_runs, journal_used = content.map_unwritten(JOURNAL_INODE, plain.journal_blocks)
    placer.put(journal_runs[0][0], journal_superblock(plain.journal_blocks, options.uuid))
    used = placer.taken
    geometry = place_tables(plain, placer)
    placer.close()
    specials = {
        JOURNAL_INODE: Storage(plain.journal_blocks * BLOCK_BYTES, journal_used, journal_area, EXTENTS_FLAG),
        _RESIZE_INODE: Storage(RESIZE_SIZE, resize_block_count(geometry), resize_area(resize_block)),
    }
    placer.put(resize_block, resize_pointers(geometry))
    for block, pointers in resize_blocks(geometry):
        placer.put(block, pointers)
    placer.flush()
    image = ImageFile(fd)
    _write_inodes(numbered, storages, specials, geometry, image, options)
    plan = Plan(numbered.nodes, numbered.lost_found, {}, geometry)
    backup = backup_of_journal(journal_area, plain.journal_blocks * BLOCK_BYTES)
    write_groups(plan, options, _Bitmaps(placer, geometry), image, seed, backup)
    total = used + sum(length for _, length in geometry.metadata())
    return ImageStats(len(numbered.nodes), total, size_bytes, placer.written_bytes + image.written_bytes)


def runs_of(node: Node) -> list[Run]:
    """The blocks of a node that the placer gave it."""
    if node.extents is not None:
        return [(start, length) for _, start, length in node.extents]
    return [(node.block, -(-node.size // BLOCK_BYTES))] if node.block else []


class _Bitmaps:
    """The placer, as those who write block groups see it."""

    def __init__(self, placer: Placer, geometry: Geometry) -> None:
        self._placer = placer
        self._geometry = geometry

    def bitmap(self, group: int) -> tuple[bytes, int]:
        return self._placer.bitmap(group, self._geometry.group_blocks(group))


def _write_inodes(
    numbered: Numbered,
    storages: dict[int, Storage],
    specials: dict[int, Storage],
    geometry: PlacedGeometry,
    image: ImageFile,
    options: ImageOptions,
) -> None:
    """Write one group's part of the inode table after the other."""
    seed, time = filesystem_seed(options.uuid), options.time
    reserved = {ROOT_INODE: encode_inode(numbered.nodes[0], storages[ROOT_INODE], ROOT_INODE, seed, time)}
    for ino, storage in specials.items():
        node = Node(stat.S_IFREG | 0o600, 0, 0, time)
        node.links = 1
        reserved[ino] = encode_inode(node, storage, ino, seed, time)
    head = b"".join(reserved.get(ino, bytes(INODE_BYTES)) for ino in range(1, FIRST_INODE))
    done = 1
    for group in range(geometry.group_count):
        here = geometry.inodes_per_group - len(head) // INODE_BYTES
        nodes = numbered.nodes[done : done + here]
        if head or nodes:
            table = head + encode_inodes(nodes, storages, seed, time)
            image.put_at(geometry.inode_table(group) * BLOCK_BYTES, table)
        done += here
        head = b""
