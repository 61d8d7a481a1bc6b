"""One stage of work that is not a graph, told as a plan of one node: the cache reads, or removes."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio.from_thread

from banger.engine.observe import Emit
from banger.model.clock import Clock

_TELL_EVERY_S = 0.1


class Stage:
    """Tells from the thread that works how far it is, and ends the work there when the operation was cancelled."""

    def __init__(self, clock: Clock, emit: Emit, name: str) -> None:
        self._clock = clock
        self._emit = emit
        self._name = name
        self._last = 0.0

    def told(self, items: int, done_bytes: int) -> None:
        """Take how far it is; passed on a few times a second. Raises when cancelled."""
        anyio.from_thread.check_cancelled()
        now = self._clock.monotonic()
        if now - self._last >= _TELL_EVERY_S:
            self._last = now
            anyio.from_thread.run_sync(self._progress, items, done_bytes)

    def tell(self, kind: str, **fields: object) -> None:
        """Send one event. On the event loop."""
        self._emit({"event": kind, "at": self._clock.monotonic(), **fields})

    def _progress(self, items: int, done_bytes: int) -> None:
        self.tell("progress", id=self._name, done=done_bytes, total=None, unit="bytes", text=f"{items} artifacts")


@contextmanager
def stage(clock: Clock, emit: Emit, name: str) -> Iterator[Stage]:
    """Tell of a stage that takes as long as the block."""
    one = Stage(clock, emit, name)
    begun = clock.monotonic()
    node = {"id": name, "kind": name, "flavour": "effect", "label": "", "expected_s": None}
    one.tell("plan", nodes=[node])
    one.tell("node", id=name, state="running")
    how = "failed"
    try:
        yield one
        how = "done"
    finally:
        one.tell("node", id=name, state=how, seconds=clock.monotonic() - begun)
