"""Give the inodes of a finished tree their numbers: siblings are neighbours, in the order of their names."""

from dataclasses import dataclass
from typing import Final

from banger.ext4.inode import MAX_LINKS
from banger.ext4.layout import FIRST_INODE
from banger.ext4.names import shown
from banger.ext4.options import MAX_INODES
from banger.ext4.plan import LOST_FOUND, ROOT_INODE
from banger.ext4.tree import Node, directory
from banger.model.errors import SpecError

MAX_DEPTH: Final = 2048
"""No path of at most 4095 bytes is deeper, and programs that walk a tree by recursion survive it."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """The nodes in the order of their numbers (the root, then 11 and up)."""

    nodes: list[Node]
    lost_found: Node


def number_nodes(root: Node, time: int) -> Numbered:
    """Number the nodes, count their links. Raises SpecError for what ext4 or its tools cannot have."""
    assert root.children is not None
    lost_found = root.children.get(LOST_FOUND)
    if lost_found is None:
        lost_found = root.children[LOST_FOUND] = directory(0o700, time)
    if lost_found.children is None:
        raise SpecError("tar entry lost+found: must be a directory, e2fsck puts what it finds there")
    root.ino, root.parent, root.links = ROOT_INODE, root, 2
    lost_found.ino = FIRST_INODE
    nodes = [root, lost_found]
    level, depth = [root], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise SpecError(f"the image's directories are more than {MAX_DEPTH} deep")
        level = _number_level(level, nodes)
    if len(nodes) > MAX_INODES:
        raise SpecError(f"the image has more than {MAX_INODES} files")
    return Numbered(nodes, lost_found)


def _number_level(level: list[Node], nodes: list[Node]) -> list[Node]:
    """Number what is in the directories of a level; return the directories among it."""
    below: list[Node] = []
    number = FIRST_INODE + len(nodes) - 1
    add = nodes.append
    for parent in level:
        children = parent.children
        if not children:
            continue
        for name, node in sorted(children.items()):
            if node.children is not None:
                node.links, node.parent = 2, parent
                parent.links += 1
                below.append(node)
            else:
                node.links += 1
                if node.links > MAX_LINKS:
                    raise SpecError(f"file {shown(name)}: more than {MAX_LINKS} hard links to one file")
            if not node.ino:
                node.ino = number
                number += 1
                add(node)
    return below
