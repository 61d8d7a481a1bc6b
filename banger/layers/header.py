"""Make one entry of a tar header and the extended headers before it: every form that a layer may have."""

import stat
from dataclasses import dataclass
from typing import Final

from banger.ext4.names import normalise, shown
from banger.ext4.pax import PaxValues
from banger.ext4.tarfields import HEADER, USTAR_MAGIC, device, identity, kind_of, number, size_of, text_of
from banger.ext4.tree import Node, symlink_target
from banger.ext4.xattr import check_xattrs
from banger.layers.entries import hard_link, without_foreign_xattrs
from banger.model.errors import SpecError

EXTENSIONS: Final = frozenset(b"xgLK")
SPARSE = "S"
_TYPES = {
    "0": stat.S_IFREG,
    SPARSE: stat.S_IFREG,
    "1": 0,
    "2": stat.S_IFLNK,
    "3": stat.S_IFCHR,
    "4": stat.S_IFBLK,
    "5": stat.S_IFDIR,
    "6": stat.S_IFIFO,
}


class Pending:
    """What extended headers said about the member that follows them; `shared` is what global ones say about all.

    `is_empty`: nothing is said about it. `is_waiting`: an extended header came, and no member after it.
    """

    __slots__ = ("is_empty", "is_waiting", "link", "path", "pax", "shared")

    def __init__(self) -> None:
        self.shared = PaxValues()
        self.reset()

    def reset(self) -> None:
        """The member has come."""
        self.pax = self.shared
        self.path: bytes | None = None
        self.link: bytes | None = None
        self.is_waiting = False
        self.is_empty = not (self.pax.values or self.pax.xattrs)

    def extend(self, flag: int, body: bytes, last: bytes) -> None:
        """Take an extended header with this type flag. Raises SpecError if it is malformed."""
        self.is_empty = False
        self.is_waiting = True
        if flag == ord("x"):
            self.pax = self.pax.updated(body, last)
        elif flag == ord("g"):
            self.shared = self.shared.updated(body, last)
            if self.shared.sparse:
                raise SpecError(f"tar entry after {shown(last)}: a sparse file in a global header")
            self.reset()
        elif flag == ord("L"):
            self.path = body.rstrip(b"\0")
        else:
            self.link = body.rstrip(b"\0")


@dataclass(frozen=True, slots=True)
class Member:
    """A member: its entry, the size of what follows it in the tar, and whether that is a sparse file's."""

    path: bytes
    node: Node
    size: int
    is_old_sparse: bool
    sparse: list[tuple[bytes, bytes]]


def member_of(block: bytes, pending: Pending) -> Member:
    """Decode a header. Raises SpecError that names the entry if it is malformed or is nothing that Linux has."""
    fields = HEADER.unpack(block)
    pax = pending.pax
    raw = _raw_path(fields, pending)
    path = normalise(raw.lstrip(b"/"))
    kind = kind_of(fields[7])
    if raw.endswith(b"/") and fields[7] == b"\0":
        kind = "5"  # as Unix V7 tar wrote directories
    if kind not in _TYPES:
        raise SpecError(f"tar entry {shown(path)}: type {kind!r} is not supported")
    size = size_of(pax.integer(b"size", number(fields[4], path, "size"), path), path)
    if kind == "1":
        link = pax.values.get(b"linkpath", pending.link or text_of(fields[8]))
        return Member(path, hard_link(link, path), 0, is_old_sparse=False, sparse=[])
    node = _node(fields, kind, pending, path)
    is_file = stat.S_ISREG(node.mode)
    if not is_file and kind == "5" and fields[7] == b"\0" and size:
        raise SpecError(f"tar entry {shown(path)}: a directory with content")
    sparse = pax.sparse if is_file else []
    node.size = size if is_file else 0
    return Member(path, node, node.size, kind == SPARSE, sparse)


def _raw_path(fields: tuple[bytes, ...], pending: Pending) -> bytes:
    name, magic, prefix = fields[0], fields[9], fields[14]
    raw = pending.path if pending.path is not None else text_of(name)
    if pending.path is None and magic.startswith(USTAR_MAGIC) and prefix[0]:
        raw = text_of(prefix) + b"/" + raw
    return pending.pax.values.get(b"path", raw)


def _node(fields: tuple[bytes, ...], kind: str, pending: Pending, path: bytes) -> Node:
    pax = pending.pax
    node = Node(
        _TYPES[kind] | number(fields[1], path, "mode") & 0o7777,
        identity(pax.integer(b"uid", number(fields[2], path, "uid"), path), path),
        identity(pax.integer(b"gid", number(fields[3], path, "gid"), path), path),
        0,
    )
    node.mtime, node.mtime_ns = pax.time(number(fields[5], path, "mtime"), path)
    if kind in "34":
        node.rdev = device(fields[12], fields[13], path)
    elif kind == "2":
        node.target = symlink_target(pax.values.get(b"linkpath", pending.link or text_of(fields[8])), path)
        node.size = 0
    if pax.xattrs:
        node.xattrs = without_foreign_xattrs(pax.xattrs, node.mode)
        check_xattrs(node.xattrs, path)
    return node
