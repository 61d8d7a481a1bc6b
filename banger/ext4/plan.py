"""Decide everything about an image before its first byte is written: inode numbers, holes, and how large it must be."""

import mmap
import stat
from dataclasses import dataclass

from banger.ext4.allocate import Run
from banger.ext4.directory import most_blocks
from banger.ext4.extents import MAX_EXTENT_BLOCKS, blocks_needed
from banger.ext4.inode import FAST_SYMLINK_BYTES, MAX_LINKS, XATTR_SPACE
from banger.ext4.layout import BLOCK_BYTES, FIRST_INODE, Geometry, plan_geometry
from banger.ext4.names import shown
from banger.ext4.options import MAX_IMAGE_BYTES, MAX_INODES, ImageOptions
from banger.ext4.tree import Node, directory, walk
from banger.ext4.xattr import in_inode
from banger.model.errors import SpecError

ROOT_INODE = 2
LOST_FOUND = b"lost+found"
LOST_FOUND_BLOCKS = 4
HOLE_BLOCKS = 16
"""Fewer zero blocks in a row are written: a hole costs an extent, and a file with few extents is read faster."""

_ZERO_BLOCK = bytes(BLOCK_BYTES)
_METADATA_RUNS = 64


@dataclass(frozen=True)
class Plan:
    """The inodes in the order of their numbers (the root, then 11 and up), the holes of files, and the shape."""

    nodes: list[Node]
    lost_found: Node
    runs: dict[int, list[Run]]
    geometry: Geometry


def make_plan(root: Node, tar: mmap.mmap, options: ImageOptions) -> Plan:
    """Number the tree's inodes and size the image. Raises SpecError if it is larger than ext4 or banger allow."""
    lost_found = _ensure_lost_found(root, options.time)
    nodes = _number(root, lost_found)
    runs = {}
    content = LOST_FOUND_BLOCKS + 1  # and the double indirect block of the resize inode
    for node in nodes:
        if stat.S_ISREG(node.mode) and node.content is None and node.size >= HOLE_BLOCKS * BLOCK_BYTES:
            found = data_runs(tar, node.offset, node.size)
            if found != [(0, -(-node.size // BLOCK_BYTES))]:
                runs[node.ino] = found
        content += _blocks(node, runs.get(node.ino))
    geometry = plan_geometry(content, FIRST_INODE + len(nodes) - 1, options.size_bytes, options.slack_bytes)
    if geometry.block_count * BLOCK_BYTES > MAX_IMAGE_BYTES:
        raise SpecError(f"tar: the image would be larger than {MAX_IMAGE_BYTES >> 30} GiB")
    return Plan(nodes, lost_found, runs, geometry)


def data_runs(tar: mmap.mmap | bytes, offset: int, size: int) -> list[Run]:
    """Return the runs of blocks of a file that are not holes. Only the first byte of most blocks is looked at."""
    whole = size // BLOCK_BYTES
    total = -(-size // BLOCK_BYTES)
    firsts = tar[offset : offset + whole * BLOCK_BYTES : BLOCK_BYTES]
    candidate = bytes(HOLE_BLOCKS)
    runs = []
    done = 0
    at = firsts.find(candidate)
    while at >= 0:
        end = at
        while end < whole and not firsts[end]:
            place = offset + end * BLOCK_BYTES
            if tar[place : place + BLOCK_BYTES] != _ZERO_BLOCK:
                break
            end += 1
        if end - at >= HOLE_BLOCKS:
            if at > done:
                runs.append((done, at - done))
            done = end
        at = firsts.find(candidate, end + 1)
    if total > done:
        runs.append((done, total - done))
    return runs


def _ensure_lost_found(root: Node, time: int) -> Node:
    assert root.children is not None
    node = root.children.get(LOST_FOUND)
    if node is None:
        node = root.children[LOST_FOUND] = directory(0o700, time)
    if node.children is None:
        raise SpecError("tar entry lost+found: must be a directory, e2fsck puts what it finds there")
    return node


def _number(root: Node, lost_found: Node) -> list[Node]:
    """Give numbers in the order of the tree, so that the same tree gets the same ones however its tar was ordered."""
    root.ino, root.parent, root.links = ROOT_INODE, root, 2
    lost_found.ino = FIRST_INODE
    nodes = [root, lost_found]
    for path, parent, node in walk(root):
        node.links += 1
        if node.ino == 0:
            node.ino = FIRST_INODE + len(nodes) - 1
            nodes.append(node)
        if node.children is not None:
            node.links += 1
            node.parent = parent
            parent.links += 1
        elif node.links > MAX_LINKS:
            raise SpecError(f"tar entry {shown(path)}: more than {MAX_LINKS} hard links to one file")
    if len(nodes) > MAX_INODES:
        raise SpecError(f"tar: more than {MAX_INODES} files")
    return nodes


def _blocks(node: Node, runs: list[Run] | None) -> int:
    """How many blocks a node takes at most."""
    count = 0
    if node.xattrs and in_inode(node.xattrs, XATTR_SPACE) is None:
        count += 1
    if node.children is not None:
        return count + most_blocks(node.children)
    if stat.S_ISREG(node.mode):
        whole = runs if runs is not None else [(0, -(-node.size // BLOCK_BYTES))]
        data = sum(length for _, length in whole)
        splits = data // MAX_EXTENT_BLOCKS
        return count + data + blocks_needed(len(whole) + splits + (_METADATA_RUNS if splits else 0))
    return count + (len(node.target) >= FAST_SYMLINK_BYTES)
