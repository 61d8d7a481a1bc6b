"""What running operations may rely on: every object that was put, looked up or opened since the oldest of them began.

Kept in memory. Only the owner of a state directory collects, and only while it has no guests, so all uses that matter
are its own and die with it: no crash can leave one behind, and taking one costs nothing beside the system call that it
stands before.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from banger.model.digest import Digest


class Uses:
    """Counts touches; an object that was touched at or after a running operation's start is in use."""

    def __init__(self) -> None:
        self.turn = threading.RLock()
        """Held by whoever takes an object away, so that no touch comes between the question and the deed.

        Taken before the database's lock: nothing may look at an object inside a transaction.
        """
        self.collecting = threading.Lock()
        """Held by a collection: there is one at a time. Taken before `turn`."""
        self._tick = 0
        self._running: dict[object, int] = {}
        self._touched: dict[Digest, int] = {}

    @contextmanager
    def operation(self) -> Iterator[int]:
        """Protect what is touched until the end of the block. Gives the tick at which the oldest operation began."""
        key = object()
        with self.turn:
            self._running[key] = self._tick + 1
            oldest = min(self._running.values())
        try:
            yield oldest
        finally:
            with self.turn:
                del self._running[key]
                if not self._running:
                    self._touched.clear()

    def touch(self, digest: Digest) -> None:
        """Say that somebody is about to look at this object. To be called before the look."""
        with self.turn:
            if self._running:
                self._tick += 1
                self._touched[digest] = self._tick

    def in_use(self, digest: Digest, since: int) -> bool:
        """Whether it was touched at that tick or later."""
        with self.turn:
            return self._touched.get(digest, -1) >= since
