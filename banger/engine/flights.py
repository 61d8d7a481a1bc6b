"""Single flight: an action that is being run is joined, not run a second time."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from banger.model.digest import Digest


class Flights:
    """Actions under way in this process, which alone owns the state directory."""

    def __init__(self) -> None:
        self._landed: dict[Digest, anyio.Event] = {}

    def under_way(self, digest: Digest) -> anyio.Event | None:
        """Event that is set when the action's run has ended, well or not; None if nobody runs it."""
        return self._landed.get(digest)

    @contextmanager
    def fly(self, digest: Digest) -> Iterator[None]:
        """Run the action; others that want it wait for the end of the block."""
        assert digest not in self._landed, "joined too late"
        landed = self._landed[digest] = anyio.Event()
        try:
            yield
        finally:
            del self._landed[digest]
            landed.set()
