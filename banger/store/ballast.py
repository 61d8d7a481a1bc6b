"""A little room kept back, to get out of a full disk with: a removal takes a commit, and a commit takes room."""

import os
from contextlib import suppress
from pathlib import Path

BALLAST_BYTES = 2 * 1024 * 1024
_LEAST_BYTES = 512 * 1024
"""With less free than this, a commit may fail."""
_PLENTY = 16
"""So many times its own size must be free for the ballast to be laid down again."""


class Ballast:
    """A file of zeroes that is dropped when the disk has no room left, and made again when there is plenty."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_there = path.exists()

    def lay_down(self) -> None:
        """Make the file, if there is plenty of room. Does without if it cannot be made."""
        if self._is_there or _free_bytes(self._path.parent) < _PLENTY * BALLAST_BYTES:
            return
        with suppress(OSError):
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.posix_fallocate(fd, 0, BALLAST_BYTES)
            finally:
                os.close(fd)
            self._is_there = True

    def drop_if_full(self) -> None:
        """Give the room back, if there is hardly any other. To be called before a commit; takes some microseconds."""
        if self._is_there and _free_bytes(self._path.parent) < _LEAST_BYTES:
            self._is_there = False
            with suppress(OSError):
                self._path.unlink()


def _free_bytes(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize
