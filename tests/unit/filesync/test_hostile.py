"""Hostile trees: nothing outside of what was named is read, nothing waits, and nothing is larger than it may be."""

import ctypes
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from banger.filesync import Copying, walk
from banger.model.config import FileSync
from banger.model.errors import BangerError, ConflictError, SpecError
from tests.unit.filesync.child import MARK
from tests.unit.filesync.hostile import CASES, NAMES, OUTSIDE, SECRETS, WANTED, Place, may_show

ROOT = Path(__file__).parents[3]
GUEST = "/root/copy"
pytestmark = pytest.mark.requirement("SEC-005")


def read(place: Place, host: str) -> tuple[bytes, list[str], BangerError | None]:
    """The stream as far as it came, the warnings, and the error that ended it."""
    copying = Copying((FileSync(host, GUEST),), str(place.home))
    stream = bytearray()
    try:
        for piece in copying.pieces():
            stream += piece
    except BangerError as error:
        return bytes(stream), copying.done.warnings, error
    return bytes(stream), copying.done.warnings, None


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 80


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_read_that_was_not_named(tmp_path: Path, case: str) -> None:
    place = Place.make(tmp_path)
    host = CASES[case](place)
    began = time.monotonic()
    stream, warnings, error = read(place, host)
    assert time.monotonic() - began < 5
    allowed = may_show(case)
    assert not [secret for secret in SECRETS if secret in stream and secret not in allowed]
    assert b"root:" not in stream
    if case.startswith(
        ("link in", "link far", "links to links", "FIFO at named", "socket at named", "device at named")
    ):
        assert warnings or case == "links to links, named"
    if error is None and host == "~/named":
        assert WANTED in stream
    if error is not None:
        assert "\n" not in error.message
        assert "file_sync[0]" in error.message


def test_a_trace_shows_that_nothing_else_was_opened(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    argv = ["strace", "-f", "-y", "-qq", "-s", "4096", "-e", "trace=open,openat,openat2,execve,stat,newfstatat"]
    child = [sys.executable, "-m", "tests.unit.filesync.child", str(tmp_path / "trees")]
    subprocess.run([*argv, "-o", str(trace), *child], cwd=ROOT, check=True, timeout=120)
    opened = dict(_opened(trace.read_text(errors="surrogateescape")))
    assert len(opened) == len(CASES)
    for number, case in enumerate(CASES):
        home = tmp_path / "trees" / str(number) / "home"
        allowed = [str(home / "named")]
        if case.startswith("link that is named") or "behind a link" in case:
            allowed += [str(home / "secret"), str(home / "private")]
        if case.endswith((" at pipe", " at socket", " at zero", " at hard", "5 TiB, named")):
            allowed.append(str(home))  # what is named lies in the home itself
        for path, flags in opened[number]:
            is_home = path == str(home) and "O_PATH" in flags
            assert is_home or any(path == one or path.startswith(f"{one}/") for one in allowed), (case, path)


def _opened(trace: str) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """For each case, the paths that were opened and how. No program is run in any of them."""
    number: int | None = None
    found: list[tuple[str, str]] = []
    for line in trace.splitlines():
        mark = re.search(rf'"{MARK}/(\w+)"', line)
        if mark:
            if number is not None:
                yield number, found
            number, found = (None if mark[1] == "end" else int(mark[1])), []
        elif number is not None:
            assert "execve(" not in line
            opened = re.search(r"open(?:at2?)?\((.*)\) = \d+<(.*)>\Z", line)
            if opened:
                found.append((opened[2], opened[1]))


@pytest.mark.parametrize("name", NAMES, ids=[repr(name)[:40] for name in NAMES])
def test_a_file_of_any_name_arrives_under_it(tmp_path: Path, name: bytes) -> None:
    place = Place.make(tmp_path)
    path = os.fsencode(place.named) + b"/" + name
    with open(path, "wb") as file:  # noqa: PTH123 - the name is bytes
        file.write(WANTED)
    guest = tmp_path / "guest"
    guest.mkdir()
    stream, _, error = read(place, "~/named")
    assert error is None
    subprocess.run(["tar", "-xpf", "-", "-C", guest], input=stream, check=True)
    assert {os.fsencode(one.name) for one in (guest / "copy").iterdir()} == {b"good", name}


_libc = ctypes.CDLL(None, use_errno=True)
_EXCHANGE = 2


def exchange(one: Path, other: Path) -> None:
    """renameat2(2) with RENAME_EXCHANGE: each has the other's name, at one moment."""
    assert _libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), _EXCHANGE) == 0


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """Exchange two names as fast as possible for the length of a block."""
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            exchange(one, other)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


RACES = ["a file of the tree", "a directory of the tree", "what is named", "a directory above what is named"]


def _race(place: Place, what: str) -> tuple[Path, Path, str]:
    """Two things that take turns, one of them a link to outside, and the path that is named."""
    trap = place.home / "trap"
    inner = place.named / "inner"
    inner.mkdir()
    (inner / "secret").write_bytes(WANTED)
    if what == "a file of the tree":
        trap.symlink_to(place.other / "secret")
        return place.named / "good", trap, "~/named"
    trap.symlink_to(place.other)
    if what == "a directory of the tree":
        return inner, trap, "~/named"
    return (place.named, trap, "~/named/secret" if what == "what is named" else "~/named/inner/secret")


def _raced(tmp_path: Path, what: str, seconds: float) -> int:
    place = Place.make(tmp_path)
    one, trap, host = _race(place, what)
    (place.named / "secret").write_bytes(WANTED)
    end = time.monotonic() + seconds
    tries = 0
    with swapping(one, trap):
        while time.monotonic() < end:
            stream, _warnings, error = read(place, host)
            assert OUTSIDE not in stream
            assert error is None or isinstance(error, ConflictError | SpecError), error
            tries += 1
    return tries


@pytest.mark.parametrize("what", RACES)
def test_who_swaps_names_meanwhile_gains_nothing(tmp_path: Path, what: str) -> None:
    assert _raced(tmp_path, what, 0.5) > 5


@pytest.mark.nightly
@pytest.mark.parametrize("what", RACES)
def test_who_swaps_names_for_two_minutes_gains_nothing(tmp_path: Path, what: str) -> None:
    assert _raced(tmp_path, what, 120) > 1000


def test_there_is_an_end_to_how_much_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place.make(tmp_path)
    for number in range(30):
        (place.named / f"file{number}").write_bytes(bytes(1000))
    monkeypatch.setattr(walk, "FILES_LIMIT", 32)
    assert read(place, "~/named")[2] is None
    monkeypatch.setattr(walk, "FILES_LIMIT", 20)
    error = read(place, "~/named")[2]
    assert error is not None
    assert "more than 20 files" in error.message
    monkeypatch.undo()
    monkeypatch.setattr(walk, "TOTAL_LIMIT_BYTES", 20_000)
    error = read(place, "~/named")[2]
    assert error is not None
    assert "for one VM" in error.message


@pytest.mark.parametrize("change", ["grows", "shrinks"])
def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path, change: str) -> None:
    place = Place.make(tmp_path)
    (place.named / "good").unlink()
    (place.named / "long").write_bytes(bytes(3 << 20))
    pieces = Copying((FileSync("~/named", GUEST),), str(place.home)).pieces()
    next(pieces)
    os.truncate(place.named / "long", 4 << 20 if change == "grows" else 1 << 20)
    with pytest.raises(ConflictError, match="changed while it was read"):
        list(pieces)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    place = Place.make(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        pieces = Copying((FileSync("~/named", GUEST),), str(place.home)).pieces()
        next(pieces)
        pieces.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
