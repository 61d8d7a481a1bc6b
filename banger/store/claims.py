"""Which Builds this process is making, and that it has recorded something, known to all who have the directory open.

A claim is a lock on one byte of the file `claims`, at an offset that is the beginning of the action digest. The kernel
gives the lock back when its holder dies, however it dies: there is no stale claim, no number of a process that another
process has by now, and nothing to take over but the work. (Two digests that begin alike wait for each other; no harm.)
The locks are those of the open file description (fcntl(2), F_OFD_SETLK), so that a second opening of the directory in
one process counts as another.

The first page of the file is a notice board: a counter for each process, which only that process writes. It is raised
after records are durable and before their claims are given back. So whoever gets a claim and finds the board as it was
when it last looked at the records, need not look again: nobody has made this Build meanwhile.
"""

import fcntl
import mmap
import os
import struct
from pathlib import Path

from banger.model.digest import Digest
from banger.model.errors import ConflictError

_FLOCK = struct.Struct("hhqqi4x")
"""struct flock: l_type, l_whence, l_start, l_len, l_pid (0, for these locks)."""
_OFFSET_DIGITS = 15
"""Hexadecimal digits of the offset: 60 bits, and off_t has 63."""
_OFFSETS = 1 << 4 * _OFFSET_DIGITS
_COUNTER = struct.Struct("=Q")
_BOARD_BYTES = 4096
_COUNTER_LOCKS = 1 << 61
"""Where the locks begin by which processes choose counters: beyond those of all digests."""


class Claims:
    """Claims in one state directory."""

    def __init__(self, path: Path) -> None:
        """Raises ConflictError if some 500 processes have the directory open."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if os.fstat(self._fd).st_size < _BOARD_BYTES:
            os.ftruncate(self._fd, _BOARD_BYTES)
        self._held: set[int] = set()
        self._board = mmap.mmap(self._fd, _BOARD_BYTES)
        for place in range(0, _BOARD_BYTES, _COUNTER.size):
            if self._lock(fcntl.F_WRLCK, _COUNTER_LOCKS + place):
                self._place = place
                return
        raise ConflictError(f"too many processes have {path.parent} open")

    def take(self, digest: Digest) -> bool:
        """Claim an action; False if another process has it."""
        offset = _offset(digest)
        if not self._lock(fcntl.F_WRLCK, offset):
            return False
        self._held.add(offset)
        return True

    def give_back(self, *digests: Digest) -> None:
        """End claims; one that is not ours is fine."""
        offsets = [_offset(digest) for digest in digests]
        self._held.difference_update(offsets)
        if len(offsets) <= len(self._held):
            for offset in offsets:
                self._lock(fcntl.F_UNLCK, offset)
            return
        # Many at once: everything between the few that are left. The kernel looks for each lock along a list of all.
        start = 0
        for held in (*sorted(self._held), _OFFSETS):
            if held > start:
                self._lock(fcntl.F_UNLCK, start, held - start)
            start = held + 1

    def announce(self) -> None:
        """Say that this process has recorded something, durably."""
        (count,) = _COUNTER.unpack_from(self._board, self._place)
        _COUNTER.pack_into(self._board, self._place, count + 1)

    def announced(self) -> bytes:
        """Other bytes than before once any other process has announced something."""
        board = self._board[:]
        return board[: self._place] + board[self._place + _COUNTER.size :]

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._board.closed

    def close(self) -> None:
        """Give all claims back."""
        self._board.close()
        os.close(self._fd)

    def _lock(self, how: int, offset: int, length: int = 1) -> bool:
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _FLOCK.pack(how, os.SEEK_SET, offset, length, 0))
        except BlockingIOError:
            return False
        return True


def _offset(digest: Digest) -> int:
    return int(digest[7 : 7 + _OFFSET_DIGITS], 16)
