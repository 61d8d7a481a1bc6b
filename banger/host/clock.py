"""The real clock, and the identity of this boot of the host."""

import time
from functools import cache
from pathlib import Path


class SystemClock:
    """The clock of the machine; a `banger.model.clock.Clock`."""

    # The functions themselves: the time is asked for several times for each node of a run.
    wall = staticmethod(time.time)  # noqa: TID251 - this is the one place
    """Seconds since the epoch."""
    monotonic = staticmethod(time.monotonic)
    """CLOCK_MONOTONIC, which every process of one boot shares."""


@cache
def boot_id() -> str:
    """The kernel's random identity of this boot, from random(4): what lived before it, has died."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
