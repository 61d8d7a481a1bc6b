"""Read files of this host as a tar for a guest: what they are, not what links in them lead to."""

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from banger.ext4.names import shown
from banger.model.errors import HostError, SpecError

_BLOCK_BYTES = 512
_READ_BYTES = 1 << 18
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Packer:
    """Makes the tar. `left_out` says what did not go in, and why: devices, FIFOs, sockets, what changed meanwhile."""

    def __init__(self) -> None:
        self.left_out: list[str] = []

    def stream(self, source: Path, name: bytes) -> Iterator[bytes]:
        """Yield a file, or a directory with all below it; `name` is what it is called there, empty for its content.

        The source itself may be a link, which is followed. Raises HostError if it cannot be read.
        """
        try:
            status = os.stat(source)  # noqa: PTH116 - with a descriptor below
            if stat.S_ISDIR(status.st_mode):
                descriptor = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    yield from self._directory(descriptor, name, status)
                finally:
                    os.close(descriptor)
            elif stat.S_ISREG(status.st_mode):
                yield from self._file(os.open(source, os.O_RDONLY | os.O_CLOEXEC), name)
            else:
                raise SpecError(f"{source}: neither a file nor a directory")
        except OSError as error:
            raise HostError(f"{source}: {error.strerror}") from error
        yield bytes(2 * _BLOCK_BYTES)

    def _directory(self, descriptor: int, name: bytes, status: os.stat_result) -> Iterator[bytes]:
        if name:
            yield _header(name, status, tarfile.DIRTYPE)
        with os.scandir(descriptor) as entries:
            names = sorted(os.fsencode(entry.name) for entry in entries)
        for inner in names:
            yield from self._entry(descriptor, inner, name + b"/" + inner if name else inner)

    def _entry(self, parent: int, inner: bytes, name: bytes) -> Iterator[bytes]:
        try:
            status = os.stat(inner, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                yield _header(name, status, tarfile.SYMTYPE, os.readlink(inner, dir_fd=parent))
            elif stat.S_ISDIR(status.st_mode):
                descriptor = os.open(inner, _DIRECTORY, dir_fd=parent)
                try:
                    yield from self._directory(descriptor, name, status)
                finally:
                    os.close(descriptor)
            elif stat.S_ISREG(status.st_mode):
                yield from self._file(os.open(inner, _READ, dir_fd=parent), name)
            else:
                self.left_out.append(f"{shown(name)}: a device, FIFO or socket")
        except OSError as error:
            self.left_out.append(f"{shown(name)}: {error.strerror}")

    def _file(self, descriptor: int, name: bytes) -> Iterator[bytes]:
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                self.left_out.append(f"{shown(name)}: it became something else meanwhile")
                return
            yield _header(name, status, tarfile.REGTYPE)
            left = status.st_size
            while left and (chunk := os.read(descriptor, min(left, _READ_BYTES))):
                left -= len(chunk)
                yield chunk
            if left:  # the header has promised as much
                self.left_out.append(f"{shown(name)}: it became shorter meanwhile; its end is zeros")
            while left:
                size = min(left, _READ_BYTES)
                yield bytes(size)
                left -= size
            yield bytes(-status.st_size % _BLOCK_BYTES)
        finally:
            os.close(descriptor)


def _header(name: bytes, status: os.stat_result, kind: bytes, target: bytes = b"") -> bytes:
    """A header in GNU's format, in which a name is bytes of any length; root's, as all is in a guest."""
    info = tarfile.TarInfo(os.fsdecode(name))
    info.type, info.mode, info.mtime = kind, stat.S_IMODE(status.st_mode) & 0o777, max(0, int(status.st_mtime))
    info.size = status.st_size if kind == tarfile.REGTYPE else 0
    info.linkname = os.fsdecode(target)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
