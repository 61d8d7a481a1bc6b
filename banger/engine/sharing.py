"""The pools of the host, shared by all runs of an engine: what one gives back, another may have waited for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from banger.graph.events import Room
from banger.graph.pools import Pools

if TYPE_CHECKING:
    from banger.engine.driver import Driver


class Sharing:
    """Pools, and the drivers of the runs that draw on them, the one that has waited longest first."""

    def __init__(self, pools: Pools) -> None:
        self.pools = pools
        self._partners: dict[Driver, None] = {}
        self._turns = 0

    @contextmanager
    def partner(self, driver: "Driver") -> Iterator[None]:
        """Share with a run."""
        self._partners[driver] = None
        try:
            yield
        finally:
            del self._partners[driver]
            driver.decider.scheduler.abandon()  # nothing is claimed any more unless there was a bug
            self.pass_on(driver)

    def pass_on(self, giver: "Driver") -> None:
        """After an event of one run: let the others look whether it has made room for them."""
        if self._turns == self.pools.turns:
            return
        self._turns = self.pools.turns
        for other in [one for one in self._partners if one is not giver and one.waits_for_room]:
            del self._partners[other]  # whoever looks now is the last to look the next time
            self._partners[other] = None
            other.feed(Room())
