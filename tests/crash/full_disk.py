"""Runs the store's workload on file systems that are too small for it, one size after another.

    unshare -rm python -m tests.crash.full_disk DIRECTORY FIRST_KIB LAST_KIB STEP_KIB
    unshare -rm python -m tests.crash.full_disk DIRECTORY get-out

Prints a line for each size: how many operations were acknowledged, and what refused the next one. Ends with a traceback
if what is found after that, with more room, is not what was acknowledged.
"""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from banger.model.errors import BangerError, NoSpaceError
from banger.store.files import unwatched
from tests.crash.store_work import check, close_parts, do_collect, do_record, key, open_parts, work

OPERATIONS = ["put", "adopt", "record", "same", "intend", "hold", "record", "collect", "release", "put", "record"]


def get_out(root: Path) -> None:
    """Fill a disk to the last byte, with a store on it, and see that something can be removed all the same."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", root], check=True)
    state = open_parts(root / "state")
    do_record(state, 0)
    with suppress(OSError), (root / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    for number in range(200):  # the WAL's own room is used up as well
        with suppress(NoSpaceError):
            state.pins.add(key(number))
    do_collect(state, 1)
    assert state.cas.all() == []
    close_parts(state)


def main() -> None:
    """Do it."""
    if sys.argv[2:] == ["get-out"]:
        get_out(Path(sys.argv[1]))
        return
    root = Path(sys.argv[1])
    first, last, step = map(int, sys.argv[2:])
    for kib in range(first, last + 1, step):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", root], check=True)
        acknowledged: list[int] = []
        refusal = "-"
        try:
            work(root / "state", OPERATIONS, acknowledged.append, unwatched)
        except BangerError as error:
            refusal = type(error).__name__
        subprocess.run(["mount", "-o", f"remount,size={kib + 4096}k", root], check=True)
        check(root / "state", OPERATIONS, len(acknowledged))
        sys.stdout.write(f"{kib} {len(acknowledged)} {refusal}\n")
        subprocess.run(["umount", "-l", root], check=True)


if __name__ == "__main__":
    main()
