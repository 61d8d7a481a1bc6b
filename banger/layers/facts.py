"""What an image is, as far as banger has to know: read out of the merged tree, in the process that read the layers.

Source: os-release(5). What does not look like it is taken for not being there: an image need not have one.
"""

import os
import re
import stat

from banger.ext4.layout import BLOCK_BYTES
from banger.ext4.tree import Node
from banger.layers.merge import Root
from banger.layers.options import Facts

SSHD = b"usr/sbin/sshd"
_OS_RELEASE = (b"etc/os-release", b"usr/lib/os-release")
_LIMIT_BYTES = 16 * 1024
_MAX_LINKS = 8
_ID = re.compile(r"[a-z0-9._-]{1,40}\Z")
_ASSIGNMENT = re.compile(r"([A-Z_]{1,40})=(?:\"([^\"\\$`]{0,200})\"|'([^']{0,200})'|([A-Za-z0-9._/:+-]{0,200}))\s*\Z")
_MAX_IDS = 8


def facts_of(root: Root, image: int) -> Facts:
    """Look at the tree. `image` is where the content of its files was written."""
    said = _os_release(root, image)
    ids = dict.fromkeys(one for one in (said.get("ID", ""), *said.get("ID_LIKE", "").split()) if _ID.match(one))
    return Facts(
        os_ids=tuple(ids)[:_MAX_IDS],
        version=said.get("VERSION_ID", ""),
        codename=said.get("VERSION_CODENAME", ""),
        name=said.get("PRETTY_NAME", ""),
        has_sshd=_find_file(root, SSHD) is not None,
    )


def _os_release(root: Root, image: int) -> dict[str, str]:
    for path in _OS_RELEASE:
        node = _find_file(root, path)
        if node is not None:
            text = _content(node, image).decode(errors="replace")
            matches = (_ASSIGNMENT.match(line.strip()) for line in text.splitlines())
            return {found[1]: found[2] or found[3] or found[4] or "" for found in matches if found}
    return {}


def _find_file(root: Root, path: bytes) -> Node | None:
    """The regular file at a path, through symlinks; None if there is none."""
    for _ in range(_MAX_LINKS):
        above, _, name = path.rpartition(b"/")
        parent = root.find_directory(above)
        node = None if parent is None or parent.children is None else parent.children.get(name)
        if node is None or not stat.S_ISLNK(node.mode):
            return node if node is not None and stat.S_ISREG(node.mode) else None
        # `..` is left to the tree, which knows where a symlinked directory really is.
        path = node.target.lstrip(b"/") if node.target.startswith(b"/") else above + b"/" + node.target
    return None


def _content(node: Node, image: int) -> bytes:
    size = min(node.size, _LIMIT_BYTES)
    if node.content is not None:
        return node.content[:size]
    if node.extents is not None:  # in pieces, or with holes: no os-release that anybody wrote
        return b""
    return os.pread(image, size, node.block * BLOCK_BYTES) if node.block else b""
