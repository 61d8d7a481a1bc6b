"""Objects as files: where each lies, and whether what lies there is what its digest says."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from banger.model.digest import Digest
from banger.model.errors import DamagedError, HostError, MissingError

SMALL_BYTES = 1024 * 1024
"""Up to this size an object is verified at every reading."""
MODE = 0o444
_CHUNK_BYTES = 1024 * 1024
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
_NOT_A_FILE = {errno.ELOOP: "a symbolic link lies in its place", errno.ENXIO: "a socket lies in its place"}


def place_of(root: Path, digest: Digest) -> Path:
    """Where an object lies below `root`: 256 directories, so that none becomes long."""
    name = digest.removeprefix("sha256:")
    return Path(f"{root}/sha256/{name[:2]}/{name}")


def open_object(place: Path, digest: Digest) -> int:
    """Open what lies there, if it is a regular file. Follows no link, waits for no FIFO.

    Raises MissingError, DamagedError if something else lies there or the device cannot read it, HostError.
    """
    try:
        fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _opening(error, digest) from error
    kind = stat.S_IFMT(os.fstat(fd).st_mode)
    if kind != stat.S_IFREG:
        os.close(fd)
        raise DamagedError(f"{digest}: what lies in its place is not a file")
    return fd


def verify_object(fd: int, digest: Digest, *, between: Callable[[int], None] | None = None) -> os.stat_result:
    """Read all of it and compare. `between` takes the number of bytes read since it was last called.

    Raises DamagedError, also for an input/output error: bytes that cannot be read are bytes that are not there.
    """
    try:
        found, size = digest_of_fd(fd, between)
        status = os.fstat(fd)
    except OSError as error:
        raise DamagedError(f"{digest}: cannot be read: {error.strerror}") from error
    if found != digest or size != status.st_size:
        raise DamagedError(f"{digest}: its {size} bytes hash to {found}")
    return status


def digest_of_fd(fd: int, between: Callable[[int], None] | None = None) -> tuple[Digest, int]:
    """Digest and size of a file, read from its beginning. Raises OSError."""
    hasher = hashlib.sha256()
    # No longer than need be: clearing a megabyte takes longer than hashing a small object.
    buffer = memoryview(bytearray(min(_CHUNK_BYTES, os.fstat(fd).st_size + 1)))
    size = 0
    while count := os.preadv(fd, [buffer], size):
        hasher.update(buffer[:count])
        size += count
        if between:
            between(count)
    return Digest("sha256:" + hasher.hexdigest()), size


def _opening(error: OSError, digest: Digest) -> MissingError | DamagedError | HostError:
    if error.errno in _ABSENT:
        return MissingError(f"{digest} is not in the cache")
    if error.errno in _NOT_A_FILE:
        return DamagedError(f"{digest}: {_NOT_A_FILE[error.errno]}")
    if error.errno == errno.EIO:
        return DamagedError(f"{digest}: cannot be read: {error.strerror}")
    return HostError(f"{digest}: cannot be opened: {error.strerror}")  # too many files, say: no word about the object
