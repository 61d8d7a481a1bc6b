"""Copy a file without writing its holes: a reflink where the file system can, else the data between the holes."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from typing import Final

_FICLONE: Final = 0x40049409  # linux/fs.h
_NO_REFLINK = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM})
_NO_KERNEL_COPY = frozenset({errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
_CHUNK_BYTES = 16 << 20


def _go_on() -> None:
    """Nobody cancels."""


def copy_sparse(source: int, target: int, between: Callable[[], None] = _go_on) -> None:
    """Make the empty file `target` a copy of `source`, by descriptor; it is not synced. Raises OSError.

    `between` is called between parts of a long copy, and raises to end it.
    """
    if not reflink(source, target):
        _copy_data(source, target, between)


def reflink(source: int, target: int) -> bool:
    """Share the blocks of `source` (FICLONE, ioctl_ficlone(2)); False if this file system cannot. Raises OSError."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _NO_REFLINK:
            raise
        return False
    return True


def data_extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each run of data between the holes of a file. Raises OSError."""
    size = os.fstat(descriptor).st_size
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end


def _copy_data(source: int, target: int, between: Callable[[], None]) -> None:
    os.ftruncate(target, os.fstat(source).st_size)
    for extent in data_extents(source):
        copy_range(source, target, extent, extent[0], between)


def copy_range(source: int, target: int, extent: tuple[int, int], to: int, between: Callable[[], None]) -> None:
    """Copy bytes from begin to end of `extent` to the offset `to`, in the kernel where it can. Raises OSError."""
    start, end = extent
    while start < end:
        between()
        length = min(end - start, _CHUNK_BYTES)
        try:
            done = os.copy_file_range(source, target, length, start, to)
        except OSError as error:
            if error.errno not in _NO_KERNEL_COPY:
                raise
            done = os.pwrite(target, os.pread(source, length, start), to)
        if not done:
            raise OSError(errno.EIO, "the source became shorter")
        start += done
        to += done
