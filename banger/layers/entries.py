"""What a layer says, in the order in which it says it: entries, and the whiteouts that act on the layers below it.

Source: OCI image specification, layer.md, "Whiteouts"; `.wh..wh.` names are AUFS's own (aufs(5)).
"""

import stat
from dataclasses import dataclass, field

from banger.ext4.names import normalise, shown
from banger.ext4.tree import Node
from banger.model.errors import SpecError

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
_AUFS = b".wh..wh."

Entry = tuple[bytes, bytes, Node]
"""The path of the directory that holds it, its name (empty: the root itself), and its node; see `hard_link`."""


@dataclass(slots=True)
class LayerEntries:
    """What was read of one layer. `placed` has every node with blocks in the image, in the order of the blocks."""

    entries: list[Entry] = field(default_factory=list)
    whiteouts: list[tuple[bytes, bytes]] = field(default_factory=list)
    opaque: list[bytes] = field(default_factory=list)
    placed: list[Node] = field(default_factory=list)

    def add(self, path: bytes, node: Node) -> None:
        """Take an entry at a normalised path; a whiteout becomes one. Raises SpecError for a name that is neither."""
        above, _, name = path.rpartition(b"/")
        if WHITEOUT not in path or not any(part.startswith(WHITEOUT) for part in path.split(b"/")):
            self.entries.append((above, name, node))
        elif name == OPAQUE and not _has_whiteout(above):
            self.opaque.append(above)
        elif not any(part.startswith(_AUFS) for part in path.split(b"/")):
            if _has_whiteout(above) or name in (WHITEOUT, b".wh..", b".wh..."):
                raise SpecError(f"tar entry {shown(path)}: the name is of a whiteout, and hides nothing")
            self.whiteouts.append((above, name[len(WHITEOUT) :]))


def hard_link(target: bytes, path: bytes) -> Node:
    """A node that stands for the one at `target` until the layers are merged."""
    node = Node(0, 0, 0, 0)
    node.target = normalise(target.lstrip(b"/"), f"hard link from {shown(path)}: ")
    if not node.target:
        raise SpecError(f"tar entry {shown(path)}: hard link to a directory")
    return node


def without_foreign_xattrs(xattrs: dict[bytes, bytes], mode: int) -> dict[bytes, bytes]:
    """Drop what the image's file system must not say about itself (overlayfs's marks), and what Linux lets no such file
    have: `user.` attributes of anything but files and directories, ACLs of symlinks."""
    is_plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return {
        name: value
        for name, value in xattrs.items()
        if not name.startswith(b"trusted.overlay.")
        and (is_plain or not name.startswith((b"user.", b"system.") if stat.S_ISLNK(mode) else b"user."))
    }


def _has_whiteout(path: bytes) -> bool:
    return any(part.startswith(WHITEOUT) for part in path.split(b"/"))
