"""Merge layers into one tree, in memory: no path of an image ever becomes a path of the host.

A layer's whiteouts act on the layers below it, wherever in the layer they stand; then its entries are put in their
order, and the last of several with one name wins. Parents are looked up inside the tree, through its symlinks, as the
kernel would with this tree as its root.
"""

import stat
from typing import Final

from banger.ext4.names import shown
from banger.ext4.tree import Node, directory
from banger.layers.entries import LayerEntries
from banger.model.errors import SpecError

_MAX_LINKS: Final = 40
"""As the kernel."""


class Root:
    """The tree so far. Directories that no layer has an entry for are made with mode 0755 at `time`."""

    def __init__(self, mode: int, time: int, max_entries: int) -> None:
        self.node = directory(mode, time)
        self.node.parent = self.node
        self._time = time
        self._known: dict[bytes, Node] = {}
        self._room = max_entries

    def apply(self, layer: LayerEntries) -> None:
        """Put a layer on top. Raises SpecError that names the entry which cannot be where it says it is."""
        for above in layer.opaque:
            node = self.find_directory(above)
            if node is not None and node.children:
                node.children.clear()
                self._known.clear()
        for above, name in layer.whiteouts:
            node = self.find_directory(above)
            if node is not None and node.children is not None and node.children.pop(name, None) is not None:
                self._known.clear()
        known = self._known
        for above, name, node in layer.entries:
            parent = known.get(above) or self._make_directory(above, name)
            siblings = parent.children
            assert siblings is not None
            if name in siblings or not node.mode or not name:
                self._put(parent, above, name, node)
            else:
                siblings[name] = node
                if node.children is not None:
                    node.parent = parent

    def put(self, path: bytes, node: Node) -> None:
        """Place one node at a normalised path, replacing what is there; a directory keeps what is below."""
        above, _, name = path.rpartition(b"/")
        self._put(self._make_directory(above, name), above, name, node)

    def find_directory(self, path: bytes) -> Node | None:
        """The directory at a path, through symlinks; None if there is none."""
        return self._known.get(path) or self._walk(path, None)

    def has(self, path: bytes) -> bool:
        """Whether something is at a path; a symlink that leads to no directory is something."""
        above, _, name = path.rpartition(b"/")
        parent = self.find_directory(above)
        return parent is not None and parent.children is not None and (not name or name in parent.children)

    def _put(self, parent: Node, above: bytes, name: bytes, node: Node) -> None:
        path = above + b"/" + name if above else name
        if not name:
            _adopt(self.node, node)
            return
        siblings = parent.children
        assert siblings is not None
        if not node.mode:
            node = self._target(node, parent, path)
        present = siblings.get(name)
        if present is node:
            return
        if present is not None:
            if present.children is not None and node.children is not None:
                _adopt(present, node)
                return
            if present.children is not None or stat.S_ISLNK(present.mode):
                self._known.clear()
        siblings[name] = node
        if node.children is not None:
            node.parent = parent

    def _target(self, link: Node, place: Node, path: bytes) -> Node:
        """What a hard link at `path` leads to: an entry that came before, or one of a lower layer."""
        above, _, name = link.target.rpartition(b"/")
        parent = self.find_directory(above)
        if parent is place and path.rpartition(b"/")[2] == name:
            raise SpecError(f"tar entry {shown(path)}: hard link to itself")
        found = (parent.children or {}).get(name) if parent is not None else None
        if found is None:
            raise SpecError(f"tar entry {shown(path)}: hard link to {shown(link.target)}, which is not there")
        if found.children is not None:
            raise SpecError(f"tar entry {shown(path)}: hard link to a directory")
        return found

    def _make_directory(self, path: bytes, name: bytes) -> Node:
        node = self._known.get(path)
        if node is None:
            node = self._walk(path, name)
            assert node is not None
            self._known[path] = node
        return node

    def _walk(self, path: bytes, name: bytes | None) -> Node | None:
        """Go along a path. With the `name` of an entry below it, make what is missing, and raise what stops us."""
        node, rest = self._nearest(path)
        todo = rest.split(b"/")[::-1] if rest else []
        links = 0
        while todo:
            part = todo.pop()
            children = node.children
            assert children is not None
            if part in (b"", b"."):
                continue
            if part == b"..":
                node = node.parent or node
                continue
            child = children.get(part)
            if child is None:
                if name is None:
                    return None
                child = self._implied(node, part, path, name)
            elif child.children is None:
                if not stat.S_ISLNK(child.mode) or links == _MAX_LINKS:
                    if name is not None:
                        raise _stopped(child, part, path, name)
                    return None
                links += 1
                if child.target.startswith(b"/"):
                    node = self.node
                todo += child.target.split(b"/")[::-1]
                continue
            node = child
        return node

    def _nearest(self, path: bytes) -> tuple[Node, bytes]:
        """The longest part of a path that is known, and the rest."""
        at = path.rfind(b"/")
        while at > 0:
            node = self._known.get(path[:at])
            if node is not None:
                return node, path[at + 1 :]
            at = path.rfind(b"/", 0, at)
        return self.node, path

    def _implied(self, parent: Node, part: bytes, path: bytes, name: bytes) -> Node:
        """Make a directory that no entry is for."""
        self._room -= 1
        if self._room < 0:
            raise SpecError(f"tar entry {shown(path)}: the image has too many entries")
        assert parent.children is not None
        node = parent.children[part] = directory(0o755, self._time)
        node.parent = parent
        return node


def _stopped(child: Node, part: bytes, path: bytes, name: bytes) -> SpecError:
    what = "leads through too many symlinks" if stat.S_ISLNK(child.mode) else f"{shown(part)} is not a directory"
    return SpecError(f"tar entry {shown(path + b'/' + name)}: its parent {what}")


def _adopt(present: Node, replacement: Node) -> None:
    for attribute in ("mode", "uid", "gid", "mtime", "mtime_ns", "xattrs"):
        setattr(present, attribute, getattr(replacement, attribute))
