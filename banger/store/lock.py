"""One owner for a state directory: a lock that the kernel gives back when its holder dies."""

import fcntl
import os
from pathlib import Path

from banger.model.errors import ConflictError


class StateLock:
    """flock(2) on `lock` in the state directory, from construction to `release`."""

    def __init__(self, state_dir: Path) -> None:
        """Take the lock. Raises ConflictError, which names the holder, if another process has it."""
        path = state_dir / "lock"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
            os.close(self._fd)
            raise ConflictError(
                f"{state_dir} is in use by process {holder or 'unknown'}", hint="banger daemon stop"
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._fd)
