"""Failpoints: die, or stand still, at one boundary of the crash protocol, so that tests can show what is left then.

    BANGER_FAULT=NODE:POINT         the daemon kills itself there (SIGKILL)
    BANGER_FAULT=NODE:POINT:stop    it stops there until SIGCONT: time to kill somebody else

NODE is a node's id, or `run`; POINT is one of those that banger.engine.perform and banger.engine.run pass.
"""

import os
import signal
from collections.abc import Mapping

from banger.engine.perform import Checkpoint

VARIABLE = "BANGER_FAULT"


def checkpoint_from(environ: Mapping[str, str]) -> Checkpoint:
    """Return what the engine is to do at each boundary: nothing, unless the environment says otherwise."""
    wanted = environ.get(VARIABLE, "")
    place = wanted.removesuffix(":stop")
    number = signal.SIGKILL if place == wanted else signal.SIGSTOP

    armed = [place] if place else []

    def checkpoint(node: str, point: str) -> None:
        if armed == [f"{node}:{point}"]:
            armed.clear()  # once: what comes after a stop must be free to go on
            os.kill(os.getpid(), number)

    return checkpoint
