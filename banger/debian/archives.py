"""Try one archive after another, until one does what is asked."""

import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from banger.debian.mirror import SETTING, find_archives
from banger.debian.values import Archive
from banger.model.errors import TransientError

T = TypeVar("T")


async def from_first(attempt: Callable[[Archive], Awaitable[T]]) -> T:
    """Return what `attempt` makes of the best archive that can be reached.

    Raises what it raises for the last one, with the others' errors as notes; an error that is not transient at once.
    """
    archives = find_archives(os.environ.get(SETTING) or None)
    failures: list[TransientError] = []
    for archive in archives:
        try:
            return await attempt(archive)
        except TransientError as error:
            failures.append(error)
    for earlier in failures[:-1]:
        failures[-1].add_note(earlier.message)
    raise failures[-1]
