"""The tree of files that an image will hold, built from tar members: plain nodes, no host files."""

import stat
from collections.abc import Iterator

from banger.ext4.names import MAX_PATH_BYTES, normalise, shown
from banger.ext4.options import MAX_IMAGE_BYTES, MAX_INODES
from banger.ext4.tarsource import Member
from banger.ext4.xattr import check_xattrs
from banger.model.errors import SpecError

_TYPES = {
    "0": stat.S_IFREG,
    "2": stat.S_IFLNK,
    "3": stat.S_IFCHR,
    "4": stat.S_IFBLK,
    "5": stat.S_IFDIR,
    "6": stat.S_IFIFO,
}


class Node:
    """One inode: `mode` with its type, `children` if a directory, content in memory or at `offset` of the tar.

    Where the content is in the image already, `extents` say where; or `block` does, for content in one piece.
    """

    __slots__ = (
        "block",
        "children",
        "content",
        "extents",
        "gid",
        "ino",
        "links",
        "mode",
        "mtime",
        "mtime_ns",
        "offset",
        "parent",
        "rdev",
        "size",
        "target",
        "uid",
        "xattrs",
    )

    def __init__(self, mode: int, uid: int, gid: int, mtime: int) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime = mtime
        self.mtime_ns = 0
        self.size = 0
        self.offset = 0
        self.block = 0
        self.extents: list[tuple[int, int, int]] | None = None
        self.content: bytes | None = None
        self.target = b""
        self.rdev: tuple[int, int] = (0, 0)
        self.xattrs: dict[bytes, bytes] = {}
        self.children: dict[bytes, Node] | None = {} if stat.S_ISDIR(mode) else None
        self.parent: Node | None = None
        self.links = 0
        self.ino = 0

    @property
    def is_unresolved(self) -> bool:
        """Whether this stands for a hard link whose target had not been seen yet."""
        return self.mode == 0


def directory(mode: int, time: int) -> Node:
    """An empty directory of root's."""
    return Node(stat.S_IFDIR | mode, 0, 0, time)


class Tree:
    """A tree under construction. A later entry replaces an earlier one; parents that are missing are made at `time`."""

    def __init__(self, root: Node, time: int) -> None:
        assert root.children is not None
        self._time = time
        self.root = root
        self._directories: dict[bytes, Node] = {b"": self.root}
        self._unresolved: dict[bytes, Node] = {}
        self._count = 0
        self._content_bytes = 0

    def add(self, member: Member) -> None:
        """Take one member. Raises SpecError that names it if it cannot be where it says it is."""
        self._count += 1
        if self._count > MAX_INODES:
            raise SpecError(f"tar entry {shown(member.path)}: more than {MAX_INODES} entries")
        if member.kind == "1":
            self._link(member)
            return
        node = Node(_TYPES[member.kind] | member.mode, member.uid, member.gid, member.mtime)
        node.mtime_ns = member.mtime_ns
        node.rdev = member.rdev
        if member.xattrs:
            check_xattrs(member.xattrs, member.path)
            node.xattrs = member.xattrs
        if member.kind == "0":
            node.size, node.offset = member.size, member.offset
            self._content_bytes += member.size
            if self._content_bytes > MAX_IMAGE_BYTES:
                raise SpecError(f"tar entry {shown(member.path)}: more than {MAX_IMAGE_BYTES >> 30} GiB of content")
        elif member.kind == "2":
            node.target = symlink_target(member.link, member.path)
        self.put(member.path, node)

    def put(self, path: bytes, node: Node) -> None:
        """Place a node, replacing what is there; a directory over a directory keeps what is below."""
        if not path:
            if node.children is None:
                raise SpecError("tar entry .: the root is not a directory")
            self._adopt(self.root, node)
            return
        above, _, name = path.rpartition(b"/")
        siblings = self._parent(above, path)
        present = siblings.get(name)
        if present is not None:
            if present.children is not None and node.children is not None:
                self._adopt(present, node)
                return
            if present.children is not None:
                self._directories = {b"": self.root}
            self._unresolved.pop(path, None)
        siblings[name] = node
        if node.children is not None:
            self._directories[path] = node

    def find(self, path: bytes) -> Node | None:
        """The node at a path, following no link."""
        node: Node | None = self.root
        for part in path.split(b"/") if path else ():
            node = node.children.get(part) if node is not None and node.children is not None else None
        return node

    def resolve(self) -> None:
        """Give every hard link its target. Raises SpecError that names a link that has none, or leads to itself."""
        for path, placeholder in list(self._unresolved.items()):
            if self.find(path) is not placeholder:
                continue  # a directory above it was replaced later
            target = self._follow(path)
            above, _, name = path.rpartition(b"/")
            self._parent(above, path)[name] = target
        self._unresolved.clear()

    def _link(self, member: Member) -> None:
        where = normalise(member.link, f"hard link from {shown(member.path)}: ")
        if where == member.path:
            raise SpecError(f"tar entry {shown(member.path)}: hard link to itself")
        target = self.find(where)
        if target is None or target.is_unresolved:
            target = Node(0, 0, 0, 0)
            target.target = where
            self.put(member.path, target)
            self._unresolved[member.path] = target
            return
        _refuse_directory(target, member.path)
        self.put(member.path, target)

    def _follow(self, path: bytes) -> Node:
        seen = {path}
        node = self._unresolved[path]
        while node.is_unresolved:
            where = node.target
            found = self.find(where)
            if where in seen:
                raise SpecError(f"tar entry {shown(path)}: its hard links lead to one another in a circle")
            if found is None:
                raise SpecError(f"tar entry {shown(path)}: hard link to {shown(where)}, which is not in the tar")
            seen.add(where)
            node = found
        _refuse_directory(node, path)
        return node

    def _parent(self, above: bytes, path: bytes) -> dict[bytes, Node]:
        node = self._directories.get(above)
        if node is None:
            node = self._make_parents(above, path)
        assert node.children is not None
        return node.children

    def _make_parents(self, above: bytes, path: bytes) -> Node:
        node = self.root
        walked = b""
        for part in above.split(b"/"):
            assert node.children is not None
            walked = walked + b"/" + part if walked else part
            child = node.children.get(part)
            if child is None:
                child = node.children[part] = directory(0o755, self._time)
                self._count += 1
            if child.children is None:
                kind = "a symlink" if stat.S_ISLNK(child.mode) else "not a directory"
                raise SpecError(f"tar entry {shown(path)}: its parent {shown(walked)} is {kind}")
            self._directories[walked] = node = child
        return node

    @staticmethod
    def _adopt(present: Node, replacement: Node) -> None:
        for name in ("mode", "uid", "gid", "mtime", "mtime_ns", "xattrs"):
            setattr(present, name, getattr(replacement, name))


def walk(root: Node) -> Iterator[tuple[bytes, Node, Node]]:
    """Yield (path, directory that holds it, node) of every entry: directories first, names in byte order."""
    stack: list[tuple[bytes, Node, Node]] = [(b"", root, root)]
    while stack:
        path, parent, node = stack.pop()
        if path:
            yield path, parent, node
        if node.children:
            prefix = path + b"/" if path else b""
            names = sorted(node.children, reverse=True)
            stack.extend((prefix + name, node, node.children[name]) for name in names)


def symlink_target(link: bytes, path: bytes) -> bytes:
    """Return the target of a symlink. Raises SpecError that names the entry at `path` if Linux could not have it."""
    if not link or b"\0" in link or len(link) > MAX_PATH_BYTES:
        raise SpecError(f"tar entry {shown(path)}: its symlink target is empty, too long or contains a NUL byte")
    return link


def _refuse_directory(target: Node, path: bytes) -> None:
    if target.children is not None:
        raise SpecError(f"tar entry {shown(path)}: hard link to a directory")
