"""The image file under construction: sparse, written in long runs, given its name only when it is whole."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from banger.ext4.layout import BLOCK_BYTES
from banger.model.errors import HostError

_PADDING = bytes(BLOCK_BYTES)
_MAX_BUFFERS = 1000
_MAX_PENDING_BYTES = 4 << 20


class ImageFile:
    """Gathers writes of neighbouring blocks into one system call. What is never written stays a hole."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffers: list[bytes | memoryview] = []
        self._start = 0
        self._end = 0
        self.written_bytes = 0

    def put(self, block: int, data: bytes | memoryview) -> None:
        """Write `data` at the beginning of a block, with zeros up to the end of its last block."""
        offset = block * BLOCK_BYTES
        if offset != self._end or len(self._buffers) >= _MAX_BUFFERS or self._end - self._start >= _MAX_PENDING_BYTES:
            self.flush()
            self._start = self._end = offset
        length = len(data)
        self._buffers.append(data)
        rest = -length % BLOCK_BYTES
        if rest:
            self._buffers.append(_PADDING[:rest])
        self._end += length + rest

    def put_at(self, offset: int, data: bytes) -> None:
        """Write at a byte of the file, at once."""
        _write_all(self._fd, data, offset)
        self.written_bytes += len(data)

    def flush(self) -> None:
        """Hand what was gathered to the kernel."""
        buffers, total = self._buffers, self._end - self._start
        self._buffers = []
        self.written_bytes += total
        done = os.pwritev(self._fd, buffers, self._start) if buffers else 0
        if done < total:
            _write_all(self._fd, b"".join(buffers)[done:], self._start + done)


def partial_of(dest: Path) -> Path:
    """The name of an image that is not whole yet."""
    return dest.with_name(f".{dest.name}.partial")


@contextlib.contextmanager
def new_image(dest: Path) -> Iterator[int]:
    """Yield a file descriptor; at the end of the block the file is durable and is called `dest`, else it is gone.

    Raises HostError that names `dest` for what the host refuses.
    """
    partial = partial_of(dest)
    try:
        partial.unlink(missing_ok=True)
        fd = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HostError(f"{dest}: cannot be written: {error.strerror}") from error
    try:
        yield fd
        os.fsync(fd)
        partial.rename(dest)
        _sync_directory(dest.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise HostError(f"{dest}: cannot be written: {error.strerror}") from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)
