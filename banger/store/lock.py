"""Who has a state directory open: one owner at most, and guests. Locks that the kernel gives back when a holder dies.

The owner alone changes the host, and so alone undoes what a crash has left there. A guest only makes artifacts: it may
come and go while the owner works. Whoever opens the directory when nobody else has it open may sweep it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from banger.model.errors import ConflictError


class StateLock:
    """flock(2) on `lock` in the state directory, from construction to `release`."""

    def __init__(self, state_dir: Path) -> None:
        """Take the lock. Raises ConflictError, which names the holder, if another process has it."""
        self._fd = _open_lock(state_dir / "lock")
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


class GuestLock:
    """flock(2) on `guests` in the state directory, shared, from construction to `release`."""

    def __init__(self, state_dir: Path) -> None:
        self._fd = _open_lock(state_dir / "guests")
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._fd)


@contextmanager
def opening(state_dir: Path) -> Iterator[None]:
    """One process at a time makes or sweeps what is in a state directory."""
    fd = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def is_free(state_dir: Path, name: str) -> bool:
    """Whether nobody holds that lock. Only while `opening`."""
    fd = _open_lock(state_dir / name)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


@contextmanager
def without_guests(state_dir: Path) -> Iterator[bool]:
    """Keep guests out: one who comes during the block waits. False if there are some; then they stay.

    One thread at a time: a second one would be taken for a guest.
    """
    with opening(state_dir):  # not in the moment in which somebody else asks whether the lock is free
        fd = _open_lock(state_dir / "guests")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except BlockingIOError:
            alone = False
    try:
        yield alone
    finally:
        os.close(fd)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
