"""Give out an image's blocks in one sweep while its size is not known yet, and write their content as it comes.

Only the copies of the superblock and of the group descriptors have fixed places; everything else may lie anywhere
(`flex_bg`), so the content of files comes first and the tables that describe it last. What was placed and is not wanted
any more becomes free space, and a hole of the file.
"""

import bisect
import ctypes
import errno
import os
from collections.abc import Iterator
from typing import Final

from banger.ext4.allocate import Run
from banger.ext4.layout import BLOCK_BYTES, BLOCKS_PER_GROUP, has_superblock
from banger.ext4.options import MAX_IMAGE_BYTES
from banger.model.errors import SpecError

FIXED_BLOCKS: Final = 129
"""The superblock, the group descriptors and room for more of them, at the beginning of a group that has a copy."""

MAX_PIECES: Final = 1000
"""The kernel takes 1024 in one call."""

_GROUPS: Final = MAX_IMAGE_BYTES // BLOCK_BYTES // BLOCKS_PER_GROUP
_MAX_PENDING_BYTES: Final = 1 << 20
_PUNCH_HOLE_KEEP_SIZE: Final = 3
_ZERO_PAGE: Final = memoryview(bytes(BLOCK_BYTES))
PADDING: Final = tuple(_ZERO_PAGE[: -size % BLOCK_BYTES] for size in range(BLOCK_BYTES))
"""The zeros that fill up the last block of content, by its length modulo the size of a block."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class Placer:
    """The image's allocator and its output. `pieces` wait to be written where `end` bytes of the file are taken."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._barriers = [group * BLOCKS_PER_GROUP for group in range(_GROUPS, 0, -1) if has_superblock(group)]
        self._barriers.insert(0, _GROUPS * BLOCKS_PER_GROUP)
        self._free: list[Run] = []
        self._reusable: list[Run] = []
        self._start = 0
        self._pending_bytes = 0
        self.pieces: list[bytes | memoryview] = []
        self.cursor = FIXED_BLOCKS
        self.barrier = self._barriers[-1]
        self.taken = 0
        self.written_bytes = 0
        self._start = self.cursor * BLOCK_BYTES

    def take(self, count: int) -> list[Run]:
        """Take `count` blocks in ascending order: space that was released first, then what lies behind the rest."""
        runs: list[Run] = []
        while count and self._reusable:
            start, length = self._reusable.pop()
            here = min(count, length)
            runs.append((start, here))
            count -= here
            if here < length:
                self._reusable.append((start + here, length - here))
            self.taken += here
        while count:
            here = min(count, self.barrier - self.cursor)
            if here:
                runs.append((self.cursor, here))
                self.cursor += here
                self.taken += here
                count -= here
            else:
                self._jump()
        return runs

    def take_whole(self, count: int) -> int:
        """Take `count` blocks in one piece, and return the first; what is left before the next barrier stays free."""
        while self.barrier - self.cursor < count:
            if self.cursor < self.barrier:
                self._free.append((self.cursor, self.barrier - self.cursor))
            self._jump()
        start = self.cursor
        self.cursor += count
        self.taken += count
        return start

    def append(self, run: Run, pieces: list[bytes | memoryview]) -> None:
        """Write to blocks just taken; the pieces fill them from the first byte, and zeros what is left of them."""
        size = sum(map(len, pieces))
        self.seek(run[0] * BLOCK_BYTES)
        self.pieces += pieces
        rest = run[1] * BLOCK_BYTES - size
        if rest:
            self.pieces.append(PADDING[size % BLOCK_BYTES])
        self.add(run[1] * BLOCK_BYTES)

    def put(self, block: int, data: bytes | memoryview) -> None:
        """Write `data` at the beginning of a block, with zeros up to the end of its last block."""
        self.append((block, -(-len(data) // BLOCK_BYTES)), [data])

    def seek(self, offset: int) -> None:
        """Have the next bytes written from a byte of the file on."""
        if offset != self._start + self._pending_bytes:
            self.flush()
            self._start = offset

    def add(self, size: int) -> None:
        """Count bytes that were appended to `pieces`."""
        self._pending_bytes += size
        if self._pending_bytes >= _MAX_PENDING_BYTES or len(self.pieces) >= MAX_PIECES:
            self.flush()

    def flush(self) -> None:
        """Hand what is pending to the kernel."""
        pieces, total = self.pieces, self._pending_bytes
        for at in range(0, len(pieces), MAX_PIECES):
            part = pieces[at : at + MAX_PIECES]
            size = sum(map(len, part)) if len(pieces) > MAX_PIECES else total
            done = os.pwritev(self._fd, part, self._start)
            if done < size:
                _write_all(self._fd, b"".join(part)[done:], self._start + done)
            self._start += size
        self.written_bytes += total
        self._pending_bytes = 0
        self.pieces.clear()

    def release(self, runs: list[Run]) -> None:
        """Give back blocks: they become holes, and are the first to be taken again. Call it when all files are written.

        `runs` ascend. Raises OSError if the host refuses.
        """
        self.flush()
        for start, length in _merged(runs):
            _punch(self._fd, start * BLOCK_BYTES, length * BLOCK_BYTES)
            self._reusable.append((start, length))
            self.taken -= length
        self._reusable.reverse()

    def bitmap(self, group: int, group_blocks: int) -> tuple[bytes, int]:
        """A group's block bitmap, and how many of its blocks are free. Bits beyond the last block are set."""
        start = group * BLOCKS_PER_GROUP
        bits = _ones(0, min(max(self.cursor - start, 0), group_blocks))
        if has_superblock(group):
            bits |= _ones(0, FIXED_BLOCKS)
        for first, length in self._free_within(start, group_blocks):
            bits &= ~_ones(first - start, first - start + length)
        free = group_blocks - bits.bit_count()
        return (bits | _ones(group_blocks, BLOCKS_PER_GROUP)).to_bytes(BLOCKS_PER_GROUP // 8, "little"), free

    def close(self) -> None:
        """No more is taken: what is free is known."""
        self._free = sorted(self._free + self._reusable)

    def _free_within(self, start: int, length: int) -> Iterator[Run]:
        at = bisect.bisect_right(self._free, (start, 0))
        for first, count in self._free[max(at - 1, 0) :]:
            if first >= start + length:
                return
            low, high = max(first, start), min(first + count, start + length)
            if low < high:
                yield low, high - low

    def _jump(self) -> None:
        """Go on behind the next copy of the superblock."""
        if len(self._barriers) == 1:
            raise SpecError(f"the image would be larger than {MAX_IMAGE_BYTES >> 30} GiB")
        self.cursor = self._barriers.pop() + FIXED_BLOCKS
        self.barrier = self._barriers[-1]


def _merged(runs: list[Run]) -> Iterator[Run]:
    start, end = 0, 0
    for first, length in runs:
        if first != end:
            if start < end:
                yield start, end - start
            start = first
        end = first + length
    if start < end:
        yield start, end - start


def _punch(fd: int, offset: int, length: int) -> None:
    """Make a hole, or where the file system has none write zeros: the bytes are the same."""
    if _libc.fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, offset, length) == 0:
        return
    code = ctypes.get_errno()
    if code not in {errno.EOPNOTSUPP, errno.ENOSYS}:
        raise OSError(code, os.strerror(code))
    for at in range(0, length, BLOCK_BYTES):
        _write_all(fd, bytes(min(BLOCK_BYTES, length - at)), offset + at)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)


def _ones(low: int, high: int) -> int:
    return (1 << high) - (1 << low)
