"""Extract one directory of an image that is being written as a small image of its own."""

import os
from dataclasses import replace

from banger.ext4.layout import BLOCK_BYTES
from banger.ext4.names import normalise
from banger.ext4.options import ImageStats
from banger.ext4.selection import node_of, remove
from banger.ext4.tree import Node
from banger.layers.content import FileContent
from banger.layers.finish import finish_image
from banger.layers.merge import Root
from banger.layers.options import Seed
from banger.layers.placer import Placer
from banger.model.errors import NotFoundError

_COPY_BLOCKS = 1024


def extract_seed(root: Root, image: int, target: int, seed: Seed) -> ImageStats:
    """Write what is below the seed's directory to `target`, reading content from `image`, where it was written already.

    Raises NotFoundError if there is no such directory.
    """
    found = root.find_directory(normalise(seed.subtree.lstrip("/").encode()))
    if found is None or found.children is None:
        raise NotFoundError(f"the image has no directory {seed.subtree}")
    options = seed.options
    small = Root(options.root_mode, options.time, 0)
    small.node = _copied(found, {})
    small.node.parent = small.node
    remove(small.node, options.remove)
    for entry in options.extra:
        small.put(normalise(entry.path.encode()), node_of(entry, options.time))
    placer = Placer(target)
    placed = _copy_content(small.node, image, placer)
    if seed.is_moved:
        found.children.clear()
    if options.size_bytes is not None and placer.taken * BLOCK_BYTES > options.size_bytes // 2:
        options = replace(options, size_bytes=None)
    return finish_image(target, small.node, placer, placed, options)


def _copied(top: Node, known: dict[int, Node]) -> Node:
    """A copy of a tree; hard links stay links to one file."""
    copy = _copy(top)
    todo = [(top, copy)]
    while todo:
        source, target = todo.pop()
        assert source.children is not None
        assert target.children is not None
        for name, child in source.children.items():
            twin = known.get(id(child))
            if twin is None:
                twin = known[id(child)] = _copy(child)
                if child.children is not None:
                    twin.parent = target
                    todo.append((child, twin))
            target.children[name] = twin
    return copy


def _copy(node: Node) -> Node:
    twin = Node(node.mode, node.uid, node.gid, node.mtime)
    for name in ("mtime_ns", "size", "block", "extents", "content", "target", "rdev", "xattrs"):
        setattr(twin, name, getattr(node, name))
    return twin


def _copy_content(root: Node, image: int, placer: Placer) -> list[Node]:
    """Copy the content of every file, in the order of the tree's names; return the files that have blocks."""
    placed: list[Node] = []
    seen: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if node.children is not None:
            todo += [child for _, child in sorted(node.children.items(), reverse=True)]
        elif (node.block or node.extents) and id(node) not in seen:
            seen.add(id(node))
            placed.append(node)
            _copy_file(node, image, placer)
    return placed


def _copy_file(node: Node, image: int, placer: Placer) -> None:
    total = -(-node.size // BLOCK_BYTES)
    extents = node.extents if node.extents is not None else [(0, node.block, total)]
    node.block, node.extents = 0, None
    content = FileContent(node, placer)
    at = 0
    for logical, start, length in extents:
        content.gap((logical - at // BLOCK_BYTES) * BLOCK_BYTES)
        at = logical * BLOCK_BYTES
        for first in range(start, start + length, _COPY_BLOCKS):
            size = min(min(_COPY_BLOCKS, start + length - first) * BLOCK_BYTES, node.size - at)
            content.feed(memoryview(os.pread(image, size, first * BLOCK_BYTES)))
            at += size
    content.gap(node.size - at)
    content.finish()
