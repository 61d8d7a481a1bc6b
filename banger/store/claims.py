"""Which Builds this process is making, known to every process that has the state directory open.

A claim is a lock on one byte of the file `claims`, at an offset that is the beginning of the action digest. The kernel
gives the lock back when its holder dies, however it dies: there is no stale claim, no number of a process that another
process has by now, and nothing to take over but the work. (Two digests that begin alike wait for each other; no harm.)

The locks are those of the open file description (fcntl(2), F_OFD_SETLK), so that a second opening of the directory in
one process counts as another.
"""

import fcntl
import os
import struct
from pathlib import Path

from banger.model.digest import Digest

_FLOCK = struct.Struct("hhqqi4x")
"""struct flock: l_type, l_whence, l_start, l_len, l_pid (0, for these locks)."""
_OFFSET_DIGITS = 15
"""Hexadecimal digits of the offset: 60 bits, and off_t has 63."""


class Claims:
    """Claims in one state directory."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def take(self, digest: Digest) -> bool:
        """Claim an action; False if another process has it."""
        try:
            self._lock(fcntl.F_WRLCK, digest)
        except BlockingIOError:
            return False
        return True

    def give_back(self, digest: Digest) -> None:
        """End a claim; none is fine."""
        self._lock(fcntl.F_UNLCK, digest)

    def close(self) -> None:
        """Give all claims back."""
        os.close(self._fd)

    def _lock(self, how: int, digest: Digest) -> None:
        offset = int(digest[7 : 7 + _OFFSET_DIGITS], 16)
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _FLOCK.pack(how, os.SEEK_SET, offset, 1, 0))
