"""Keep what a guest or its VMM prints, in a file that cannot grow past its room whoever is alive to watch it.

The guest decides how much it prints, and QEMU writes a ``file`` chardev without bound. Looked at and set aside: a pipe
or socket to the daemon (lost while the daemon is down), QEMU's ``ringbuf`` (lost with QEMU, and so every panic), a
logging process for each VM (one more thing to leak), trimming by the daemon alone (no bound while it is down).

So the kernel sets the bound. QEMU runs under RLIMIT_FSIZE with SIGXFSZ ignored; a write past the limit fails with EFBIG
(setrlimit(2)), which a serial port takes as "not sent". One limit holds for all files of the process, and its disks are
larger than any log: hence the log begins as a hole that ends `room` bytes below the limit, and is written by O_APPEND.
The hole takes no space. While the daemon is alive it trims now and then, so that the newest output has room.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from banger.model.errors import HostError

CONSOLE_ROOM_BYTES = 16 * 1024 * 1024
VMM_LOG_ROOM_BYTES = 1024 * 1024
_KEPT_FRACTION = 8
_TRIM_FRACTION = 2


@dataclass(frozen=True, slots=True)
class BoundedLog:
    """A log for a process whose RLIMIT_FSIZE is `limit_bytes`; it holds at most `room_bytes`."""

    path: Path
    limit_bytes: int
    room_bytes: int

    @property
    def hole_bytes(self) -> int:
        """Where the text begins."""
        return self.limit_bytes - self.room_bytes

    def create(self) -> None:
        """Make it empty. Raises HostError if the file system cannot hold a file with a hole of that size."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.ftruncate(descriptor, self.hole_bytes)
        except OSError as error:
            reason = error.strerror
            raise HostError(f"{self.path}: no file with a hole of {self.hole_bytes} bytes here: {reason}") from error
        finally:
            os.close(descriptor)

    def size(self) -> int:
        """Return how many bytes of text there are; 0 if the file is not there."""
        try:
            return max(0, self.path.stat().st_size - self.hole_bytes)
        except FileNotFoundError:
            return 0

    def trim(self) -> int:
        """Drop the oldest text once half of the room is used; return the bytes dropped.

        What the writer adds between the read and the cut is lost: a gap in a flood, never in a quiet log.
        """
        size = self.size()
        if size <= self.room_bytes // _TRIM_FRACTION:
            return 0
        kept = tail(self.path, self.room_bytes // _KEPT_FRACTION)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.ftruncate(descriptor, self.hole_bytes)
            os.write(descriptor, kept)
        finally:
            os.close(descriptor)
        return size - len(kept)


def tail(path: Path, limit_bytes: int) -> bytes:
    """Return the last text of a bounded log, at most `limit_bytes`; empty if the file is not there.

    Needs no record of where the hole ends: a hole reads as NUL bytes, which are left out at the beginning. The text is
    the guest's: strip control characters before a terminal sees it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return b""
    try:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, limit_bytes, max(0, size - limit_bytes)).lstrip(b"\0")
    finally:
        os.close(descriptor)
