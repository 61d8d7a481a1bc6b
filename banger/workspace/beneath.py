"""Read files below a directory, and never anything else, whatever links and special files stand in the way.

Every open is openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS, without blocking and
without becoming a terminal's owner; what is not a regular file is never read.
"""

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from banger.model.errors import HostError, SpecError

SYMLINK_MODE = 0o120000
_OPENAT2 = 437  # the same on every architecture
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_SPECIAL = (errno.ENXIO, errno.ENODEV)  # what opening a socket or a device without a driver says

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_HOW_BYTES = ctypes.c_size_t(24)


def _how(flags: int) -> bytes:
    """struct open_how: flags, mode, resolve."""
    return struct.pack("=QQQ", flags, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)


_HOW_READ, _HOW_LOOK = _how(_READ), _how(_LOOK)
_HOW_FOLDER = _how(os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
_HOW_LIST = _how(os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


class Tree:
    """A directory, held open. Made by `open_tree`. `root` is for messages."""

    def __init__(self, root: Path, descriptor: int) -> None:
        self.root = root
        self._descriptor = descriptor

    @contextmanager
    def open(self, path: str) -> Iterator[tuple[int, os.stat_result] | None]:
        """Open a regular file: its descriptor and status; None if there is nothing, or a directory.

        For a symbolic link the descriptor is of the link itself: use `read_link`. Raises SpecError that names the
        path if a directory on the way is a symbolic link, or if the file is a FIFO, a socket or a device.
        """
        descriptor = self._open(path, _HOW_READ)
        if descriptor == -errno.ELOOP:
            descriptor = self._open(path, _HOW_LOOK)
        if -descriptor in _ABSENT:
            yield None
            return
        if descriptor < 0:
            raise self._refusal(path, -descriptor)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                yield None
            elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                yield descriptor, status
            else:
                raise self._refusal(path, errno.ENXIO)
        finally:
            os.close(descriptor)

    def open_folder(self, path: str, *, to_list: bool = False) -> int | None:
        """Open a directory to look up names in, the tree itself if `path` is empty; None if there is none such.

        `to_list`: or to be read, and made durable, as well.
        """
        descriptor = self._open(path or ".", _HOW_LIST if to_list else _HOW_FOLDER)
        return None if descriptor < 0 else descriptor

    def read_small(self, path: str, limit_bytes: int) -> bytes | None:
        """Return a regular file's content; None if there is no such file. Raises SpecError if it is larger, or odd."""
        with self.open(path) as opened:
            if opened is None:
                return None
            descriptor, status = opened
            if not stat.S_ISREG(status.st_mode):
                raise SpecError(f"{self.root / path}: a symbolic link where git keeps a file of its own")
            content = bytearray()
            while chunk := os.read(descriptor, limit_bytes + 1 - len(content)):
                content += chunk
                if len(content) > limit_bytes:
                    raise SpecError(f"{self.root / path}: larger than {limit_bytes} bytes")
            return bytes(content)

    def _open(self, path: str, how: bytes) -> int:
        """Return a descriptor, or minus an error number."""
        name = os.fsencode(path)
        while True:
            descriptor = int(_libc.syscall(_OPENAT2, self._descriptor, name, how, _HOW_BYTES))
            if descriptor >= 0:
                return descriptor
            error = ctypes.get_errno()
            if error not in {errno.EINTR, errno.EAGAIN}:
                return -error

    def _refusal(self, path: str, error: int) -> Exception:
        where = f"{self.root}: {path!r}"
        if error in {errno.ELOOP, errno.EXDEV}:
            return SpecError(f"{where} lies behind a symbolic link; git would not track it there")
        if error in _SPECIAL:
            return SpecError(f"{where} is a FIFO, a socket or a device in the place of a file")
        if error == errno.ENAMETOOLONG:
            return SpecError(f"{where}: the name is too long")
        if error == errno.EACCES:
            return SpecError(f"{where} cannot be read: permission denied", hint=f"ls -l {self.root / path}")
        return HostError(f"{where} cannot be read: {os.strerror(error)}")


def read_link(descriptor: int) -> bytes:
    """Return the target of the symbolic link that `Tree.open` gave."""
    return os.readlink(b"", dir_fd=descriptor)


@contextmanager
def open_tree(root: Path) -> Iterator[Tree]:
    """Hold a directory open for the length of a block. Raises HostError."""
    try:
        descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"{root}: {error.strerror}") from error
    try:
        yield Tree(root, descriptor)
    finally:
        os.close(descriptor)
