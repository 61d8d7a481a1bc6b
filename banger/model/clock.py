"""The clock as a port: what the time is, so that a test can say it."""

from typing import Protocol


class Clock(Protocol):
    """Seconds as floats."""

    def wall(self) -> float:
        """Seconds since the epoch: to be shown and stored, never for a difference."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back: for differences only."""
        ...
