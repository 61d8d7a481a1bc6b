"""Keep an eye on a blocking transfer: stop it when told to, when it stalls, and when its time is over.

Every wait for bytes is cut into ticks (`banger.oci.sockets`); between ticks it is decided here whether to go on. So a
server that sends one byte now and then holds nobody up, and a thread ends soon after it is told to.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from banger.model.clock import Clock
from banger.model.errors import DeadlineError, TransientError
from banger.oci.errors import StoppedError
from banger.oci.limits import Patience

_MARKS = 10
_SLACK_BYTES = 1024 * 1024  # heads of chunks, and trailers, which have no end of their own


class Stop:
    """Tells blocking work to end. Set once, in the thread of the event loop; looked at from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._calls: list[Callable[[], None]] = []

    def set(self) -> None:
        """Have all that works under this end, soon."""
        self._event.set()
        for call in list(self._calls):
            call()

    @contextmanager
    def calling(self, call: Callable[[], None]) -> Iterator[None]:
        """Have `call` called when it is set during the block, which runs in the event loop."""
        self._calls.append(call)
        try:
            if self._event.is_set():
                call()
            yield
        finally:
            self._calls.remove(call)

    def check(self) -> None:
        """Raise StoppedError if it is set."""
        if self._event.is_set():
            raise StoppedError

    def wait(self, seconds: float) -> None:
        """Sleep, or raise StoppedError as soon as it is set."""
        if self._event.wait(seconds):
            raise StoppedError


class Watch:
    """What is expected of the transfers of one thread. Used by that thread only; `stop` may be set by others."""

    def __init__(self, patience: Patience, clock: Clock, stop: Stop) -> None:
        self.patience = patience
        self.clock = clock
        self.stop = stop
        self._deadline: float | None = None
        self._limit_s = 0.0
        self._most = 0
        self._waited_s = 0.0
        self._arrived = 0
        self._marks: deque[tuple[float, int]] = deque([(0.0, 0)])

    def expect_within(self, seconds: float) -> None:
        """From now on everything must be there in so many seconds."""
        self._deadline, self._limit_s = self.clock.monotonic() + seconds, seconds
        self._restart()

    def expect_flow(self, size: int) -> None:
        """From now on there is no end to the time, but bytes must keep coming, until there are about `size`."""
        self._deadline = None
        self._restart()
        self._most = size + size // 2 + _SLACK_BYTES

    def arrived(self, count: int, waited_s: float) -> None:
        """Note bytes and how long they were waited for; raise DeadlineError or StoppedError to end the transfer.

        Only waiting counts: a slow disk here is not the server's fault.
        """
        self.stop.check()
        self._waited_s += waited_s
        self._arrived += count
        if self._deadline is not None:
            if self.clock.monotonic() >= self._deadline:
                raise DeadlineError(f"not finished after {self._limit_s:g} s")
            return
        if self._arrived > self._most:
            raise TransientError(f"{self._arrived} bytes, and no end")
        patience = self.patience
        since, bytes_then = self._marks[0]
        if self._waited_s - since >= patience.stall_s:
            if self._arrived - bytes_then < patience.stall_bytes:
                raise DeadlineError(f"stalled: {self._arrived - bytes_then} bytes in {self._waited_s - since:.0f} s")
            self._marks.popleft()
        if not self._marks or self._waited_s - self._marks[-1][0] >= patience.stall_s / _MARKS:
            self._marks.append((self._waited_s, self._arrived))

    def _restart(self) -> None:
        self._waited_s, self._arrived = 0.0, 0
        self._marks = deque([(0.0, 0)])
