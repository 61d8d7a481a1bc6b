"""Runs the store's workload on file systems that are too small for it, one size after another.

    unshare -rm python -m tests.crash.full_disk DIRECTORY FIRST_KIB LAST_KIB STEP_KIB

Prints a line for each size: how many operations were acknowledged, and what refused the next one. Ends with a traceback
if what is found after that, with more room, is not what was acknowledged.
"""

import subprocess
import sys
from pathlib import Path

from banger.model.errors import BangerError
from banger.store.files import unwatched
from tests.crash.store_work import check, work

OPERATIONS = ["put", "adopt", "record", "same", "intend", "hold", "record", "collect", "release", "put", "record"]


def main() -> None:
    """Do it."""
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
