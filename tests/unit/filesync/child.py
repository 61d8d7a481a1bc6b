"""Read every hostile tree, with a mark in the trace before each: `python -m tests.unit.filesync.child ROOT`."""

import sys
from contextlib import suppress
from pathlib import Path

from banger.filesync import Copying
from banger.model.config import FileSync
from banger.model.errors import BangerError
from tests.unit.filesync.hostile import CASES, Place

MARK = "/banger-mark"


def main() -> None:
    """Make the trees, then read them."""
    root = Path(sys.argv[1])
    made = []
    for number, make in enumerate(CASES.values()):
        place = Place.make(root / str(number))
        made.append((place, make(place)))
    _read(*made[0])  # whatever is imported late is imported now
    for number, (place, host) in enumerate(made):
        Path(MARK, str(number)).exists()
        _read(place, host)
    Path(MARK, "end").exists()


def _read(place: Place, host: str) -> None:
    with suppress(BangerError):
        for _piece in Copying((FileSync(host, "/root/copy"),), str(place.home)).pieces():
            pass


if __name__ == "__main__":
    main()
