"""Which part of a tar's tree an image gets: paths dropped by pattern, one directory made the root, entries added."""

import re
import stat

from banger.ext4.names import normalise
from banger.ext4.options import ExtraEntry, ImageOptions
from banger.ext4.tree import Node, Tree, walk
from banger.model.errors import NotFoundError, SpecError

_TYPES = {"file": stat.S_IFREG, "symlink": stat.S_IFLNK, "dir": stat.S_IFDIR}


def select(tree: Tree, options: ImageOptions) -> Node:
    """Apply `remove`, `subtree` and `extra`, in this order, and return the image's root.

    Raises NotFoundError if the tar has no such subtree, SpecError if an extra entry cannot be where it says it is.
    """
    if options.remove:
        _remove(tree.root, options.remove)
    chosen = tree
    if options.subtree:
        chosen = _below(tree, options.subtree, options.time)
    for entry in options.extra:
        chosen.put(normalise(entry.path.encode()), _node(entry, options.time))
    return chosen.root


def pattern(patterns: tuple[str, ...]) -> re.Pattern[bytes]:
    """Compile patterns of paths to one expression that must match a whole path."""
    return re.compile(b"|".join(_translated(one) for one in patterns), re.DOTALL)


def _remove(root: Node, patterns: tuple[str, ...]) -> None:
    expression = pattern(patterns)
    matches = [(path, parent) for path, parent, _ in walk(root) if expression.fullmatch(path)]
    for path, parent in matches:
        assert parent.children is not None
        del parent.children[path.rpartition(b"/")[2]]


def _translated(one: str) -> bytes:
    parts = normalise(one.encode()).split(b"/")
    expression = b""
    for index, part in enumerate(parts):
        is_last = index == len(parts) - 1
        if part == b"**":
            expression += b".+" if is_last else b"(?:.+/)?"
        else:
            literal = re.escape(part).replace(rb"\*", b"[^/]*").replace(rb"\?", b"[^/]")
            expression += literal if is_last else literal + b"/"
    return b"(?:" + expression + b")"


def _below(tree: Tree, subtree: str, time: int) -> Tree:
    root = tree.find(normalise(subtree.encode()))
    if root is None:
        raise NotFoundError(f"tar: there is no directory {subtree} in it")
    if root.children is None:
        raise SpecError(f"tar entry {subtree}: not a directory")
    return Tree(root, time)


def _node(entry: ExtraEntry, time: int) -> Node:
    node = Node(_TYPES[entry.kind] | entry.mode, entry.uid, entry.gid, time)
    if entry.kind == "file":
        node.content = entry.content
        node.size = len(entry.content)
    elif entry.kind == "symlink":
        if not 0 < len(entry.content) <= 4095 or b"\0" in entry.content:  # noqa: PLR2004
            raise SpecError(f"ext4 option extra: {entry.path}: the symlink target is empty, too long or contains a NUL")
        node.target = entry.content
    return node
