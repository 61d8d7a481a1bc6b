"""Files with holes: a frozen machine's memory keeps no page of zeroes."""

import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from banger.model.errors import HostError

PAGE_BYTES = 4096
_CHUNK_BYTES = 256 * PAGE_BYTES
_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # linux/falloc.h
_ZEROES = bytes(_CHUNK_BYTES)
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def punch_zero_pages(path: Path) -> int:
    """Make holes of a file's pages of zeroes; return the bytes in them. Where there are no holes, nothing happens."""
    freed = 0
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        for start, length in _zero_ranges(descriptor):
            if _libc.fallocate(descriptor, _KEEP_SIZE | _PUNCH_HOLE, start, length) != 0:
                if ctypes.get_errno() == errno.EOPNOTSUPP:
                    return 0
                raise HostError(f"{path}: no hole: {os.strerror(ctypes.get_errno())}")
            freed += length
    finally:
        os.close(descriptor)
    return freed


def _zero_ranges(descriptor: int) -> Iterator[tuple[int, int]]:
    """Yield start and length of runs of whole pages that hold data, and only zeroes."""
    for begin, end in _data_ranges(descriptor):
        run_start = None
        for at in range(begin - begin % PAGE_BYTES, end, _CHUNK_BYTES):
            chunk = os.pread(descriptor, min(_CHUNK_BYTES, end - at), at)
            step = len(chunk) if chunk == _ZEROES[: len(chunk)] else PAGE_BYTES
            for offset in range(0, len(chunk), step):
                page = chunk[offset : offset + PAGE_BYTES]
                is_zero = step > PAGE_BYTES or page == _ZEROES[: len(page)]
                if is_zero and run_start is None:
                    run_start = at + offset
                elif not is_zero and run_start is not None:
                    yield run_start, at + offset - run_start
                    run_start = None
        if run_start is not None:
            yield run_start, end - run_start


def _data_ranges(descriptor: int) -> Iterator[tuple[int, int]]:
    size = os.fstat(descriptor).st_size
    end = 0
    while end < size:
        try:
            begin = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        yield begin, end
