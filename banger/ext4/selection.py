"""Which part of a tar's tree an image gets: paths dropped by pattern, one directory made the root, entries added."""

import re
import stat
from collections.abc import Iterable

from banger.ext4.names import normalise
from banger.ext4.options import ExtraEntry, ImageOptions
from banger.ext4.tree import Node, Tree
from banger.model.errors import NotFoundError, SpecError

_TYPES = {"file": stat.S_IFREG, "symlink": stat.S_IFLNK, "dir": stat.S_IFDIR}


def select(tree: Tree, options: ImageOptions) -> Node:
    """Apply `remove`, `subtree` and `extra`, in this order, and return the image's root.

    Raises NotFoundError if the tar has no such subtree, SpecError if an extra entry cannot be where it says it is.
    """
    remove(tree.root, options.remove)
    chosen = tree
    if options.subtree:
        chosen = _below(tree, options.subtree, options.time)
    for entry in options.extra:
        chosen.put(normalise(entry.path.encode()), node_of(entry, options.time))
    return chosen.root


def remove(root: Node, patterns: tuple[str, ...]) -> None:
    """Take away what matches one of the patterns (see `ImageOptions.remove`), with what is below it."""
    for one in patterns:
        _remove(root, normalise(one.encode()).split(b"/"))


def _remove(top: Node, pattern: list[bytes]) -> None:
    """Go down only where the pattern does: most of an image is not looked at."""
    todo = [(top, 0)]
    while todo:
        node, at = todo.pop()
        if node.children is None:
            continue
        is_last = at == len(pattern) - 1
        if pattern[at] == b"**":
            if is_last:
                node.children.clear()
                continue
            todo.append((node, at + 1))
            todo += [(child, at) for child in node.children.values()]
            continue
        for name in _matching(node.children, pattern[at]):
            if is_last:
                del node.children[name]
            else:
                todo.append((node.children[name], at + 1))


def _matching(names: Iterable[bytes], part: bytes) -> list[bytes]:
    if not set(part) & set(b"*?"):
        return [part] if part in names else []
    expression = re.compile(re.escape(part).replace(rb"\*", b".*").replace(rb"\?", b"."), re.DOTALL)
    return [name for name in names if expression.fullmatch(name)]


def _below(tree: Tree, subtree: str, time: int) -> Tree:
    root = tree.find(normalise(subtree.encode()))
    if root is None:
        raise NotFoundError(f"tar: there is no directory {subtree} in it")
    if root.children is None:
        raise SpecError(f"tar entry {subtree}: not a directory")
    return Tree(root, time)


def node_of(entry: ExtraEntry, time: int) -> Node:
    """The node that an extra entry asks for. Raises SpecError if it is a symlink to nowhere."""
    node = Node(_TYPES[entry.kind] | entry.mode, entry.uid, entry.gid, time)
    if entry.kind == "file":
        node.content = entry.content
        node.size = len(entry.content)
    elif entry.kind == "symlink":
        if not 0 < len(entry.content) <= 4095 or b"\0" in entry.content:  # noqa: PLR2004
            raise SpecError(f"ext4 option extra: {entry.path}: the symlink target is empty, too long or contains a NUL")
        node.target = entry.content
    return node
