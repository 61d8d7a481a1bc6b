"""A clock that a test moves."""


class FakeClock:
    """A `banger.model.clock.Clock`."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now
