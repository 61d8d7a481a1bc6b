"""Paths of a tar: checked once, where they enter, and shown in messages without harm."""

from banger.model.errors import SpecError

MAX_COMPONENT_BYTES = 255
MAX_PATH_BYTES = 4095


def shown(path: bytes) -> str:
    """A path for a message: UTF-8 where it is, control characters and other bytes escaped, long ones cut."""
    text = path[:300].decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text) + ("..." if path[300:] else "")


def normalise(path: bytes, what: str = "") -> bytes:
    """Return `path` relative to the root, without empty and `.` components; the root itself is empty.

    Raises SpecError that names the path if it is absolute, has a `..` component or a NUL, or is longer than Linux and
    ext4 allow (4095 bytes, 255 a component). `what` begins the message for a path that is not an entry's own name.
    """
    if path.startswith(b"/"):
        raise SpecError(f"tar entry {shown(path)}: {what}the name is absolute")
    if b"\0" in path:
        raise SpecError(f"tar entry {shown(path)}: {what}the name contains a NUL byte")
    if len(path) > MAX_PATH_BYTES:
        raise SpecError(f"tar entry {shown(path)}: {what}the name is longer than {MAX_PATH_BYTES} bytes")
    parts = [part for part in path.split(b"/") if part and part != b"."]
    if b".." in parts:
        raise SpecError(f"tar entry {shown(path)}: {what}the name contains '..'")
    if any(len(part) > MAX_COMPONENT_BYTES for part in parts):
        raise SpecError(f"tar entry {shown(path)}: {what}a component is longer than {MAX_COMPONENT_BYTES} bytes")
    return b"/".join(parts)
