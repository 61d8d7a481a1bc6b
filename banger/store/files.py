"""The steps of the write protocol, one system call each, and what it means when the host refuses one.

Every step tells `reached` before it is done: a test ends the process there, and the order of the steps is what has to
keep the promise that a record never names an object which a power cut can take away.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from banger.model.errors import HostError, NoSpaceError

Reached = Callable[[str], None]
"""Takes the name of the step that comes next."""

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


def unwatched(_step: str) -> None:
    """Nobody wants to know."""


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn an OSError into NoSpaceError or HostError that says what was being done."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise NoSpaceError(f"{what}: no space left on the device", hint="banger cache prune --all") from error
        raise HostError(f"{what}: {error.strerror or error}") from error


class Files:
    """Does the steps. Each raises OSError; callers wrap a whole protocol in `refusals`."""

    def __init__(self, reached: Reached = unwatched) -> None:
        self.reached = reached

    def write(self, fd: int, data: bytes) -> None:
        """Write all of it, however little the kernel takes at a time."""
        self.reached("write")
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]

    def sync(self, fd: int) -> None:
        """Wait until data and size are on the device. After a failure the file must go: a second call would succeed."""
        self.reached("sync")
        os.fdatasync(fd)

    def seal(self, fd: int) -> None:
        """Make it read-only."""
        self.reached("seal")
        os.fchmod(fd, 0o444)

    def link(self, file: Path, place: Path) -> bool:
        """Give a file a second name; False if the name is taken."""
        self.reached("link")
        try:
            os.link(file, place, follow_symlinks=False)
        except FileExistsError:
            return False
        return True

    def rename(self, path: Path, to: Path) -> None:
        """Change a name; what had it before is gone."""
        self.reached("rename")
        path.rename(to)

    def unlink(self, path: Path) -> None:
        """Remove a name; absent is fine."""
        self.reached("unlink")
        path.unlink(missing_ok=True)

    def make_directory(self, path: Path) -> None:
        """Make a directory that stays; present is fine."""
        self.reached("mkdir")
        path.mkdir(mode=0o700, exist_ok=True)
        self.sync_directory(path.parent)

    def sync_directory(self, path: Path) -> None:
        """Wait until the names in a directory are on the device."""
        self.reached("sync-directory")
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
