"""Find the process of a machine by what it was started as, without any record of it.

A daemon that is killed between the start of a VMM and the line that records it leaves a process that nobody knows. Its
argv names the machine, so whoever undoes the launch finds it all the same.
"""

import itertools
import os
from pathlib import Path

from banger.host.pidfd import ProcessIdentity, identify

_PROGRAMS = ("qemu-system-", "prlimit", "setpriv", "nice")
"""The others become QEMU by exec: for a moment the process has the one name, then the other, and the same pid."""


def find_processes(name: str, *, proc: Path = Path("/proc")) -> list[ProcessIdentity]:
    """Return our own processes that run a VMM with exactly ``-name`` `name`, in order of their numbers."""
    found = []
    for entry in proc.iterdir():
        if entry.name.isdecimal() and _is_named(entry, name):
            identity = identify(int(entry.name))
            if identity is not None:
                found.append(identity)
    return sorted(found, key=lambda identity: identity.pid)


def _is_named(entry: Path, name: str) -> bool:
    try:
        if entry.stat().st_uid != os.geteuid():
            return False
        words = (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        # It ended while we looked, or is not ours to look at.
        return False
    if not Path(os.fsdecode(words[0])).name.startswith(_PROGRAMS):
        return False
    wanted = name.encode()
    return any(word == b"-name" and following == wanted for word, following in itertools.pairwise(words))
