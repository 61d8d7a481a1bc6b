"""When to ask again: the law, apart from the asking.

Full jitter, so that many machines do not come back together; a `Retry-After` is honoured up to a limit; and the sum of
all pauses has one too, whatever a server says. (RFC 9110, 10.2.3 for the two forms of `Retry-After`.)
"""

import random
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from banger.model.clock import Clock
from banger.model.errors import BangerError, DeadlineError, TransientError
from banger.oci.errors import UnavailableError
from banger.oci.limits import Patience

_Result = TypeVar("_Result")
_DIGITS = 12


class Retry:
    """The tries of one request: `wait` sleeps (and may raise to stop), `jitter` returns a number from 0 to 1."""

    def __init__(
        self,
        patience: Patience,
        clock: Clock,
        wait: Callable[[float], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._patience = patience
        self._clock = clock
        self._began = clock.monotonic()
        self._wait = wait
        self._jitter = jitter
        self._tries = 0
        self._waited_s = 0.0

    def progressed(self) -> None:
        """Something new has arrived: count from the beginning."""
        self._tries = 0
        self._waited_s = 0.0
        self._began = self._clock.monotonic()

    def pause(self, error: BangerError, tries: int) -> None:
        """Wait before the next try, or raise the error if it was the last, or waiting would take too long."""
        self._tries += 1
        if self._tries >= tries:
            raise error
        delay = min(self._patience.backoff_cap_s, self._patience.backoff_s * 2.0 ** (self._tries - 1))
        delay *= self._jitter()
        asked = error.retry_after_s if isinstance(error, UnavailableError) else None
        if asked is not None:
            # Not before the server's time; the jitter comes behind it.
            delay = min(self._patience.retry_after_cap_s, asked + delay)
        spent_s = self._clock.monotonic() - self._began
        if self._waited_s + delay > self._patience.waits_s or spent_s + delay > self._patience.total_s:
            raise error
        self._waited_s += delay
        self._wait(delay)

    def run(self, work: Callable[[], _Result], tries: int) -> _Result:
        """Do the work until it succeeds, fails for good, or has been tried so often."""
        while True:
            try:
                return work()
            except (TransientError, DeadlineError) as error:
                self.pause(error, tries)


def retry_after(text: str, clock: Clock) -> float | None:
    """Read a `Retry-After` header: seconds from now, never negative; None if it says nothing."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:_DIGITS])
    try:
        when = parsedate_to_datetime(text)
        return max(0.0, when.timestamp() - clock.wall())
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
