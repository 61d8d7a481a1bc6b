"""A bounded log is small on disk, keeps the newest, and reads as text."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from banger.model.errors import HostError
from banger.vm.console import BoundedLog, tail

GIB = 1024**3
ROOM = 64 * 1024


@pytest.fixture
def log(tmp_path: Path) -> BoundedLog:
    log = BoundedLog(tmp_path / "console.log", 10 * GIB, ROOM)
    log.create()
    return log


def append(log: BoundedLog, data: bytes) -> None:
    with log.path.open("ab") as file:
        file.write(data)


def test_an_empty_log_takes_no_space_and_reads_as_nothing(log: BoundedLog) -> None:
    assert log.size() == 0
    assert log.path.stat().st_blocks == 0
    assert tail(log.path, 4096) == b""
    assert log.trim() == 0


def test_the_tail_is_the_newest_text_and_never_the_hole(log: BoundedLog) -> None:
    append(log, b"first\nsecond\n")
    assert tail(log.path, 4096) == b"first\nsecond\n"
    assert tail(log.path, 7) == b"second\n"


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    missing = BoundedLog(tmp_path / "none", GIB, ROOM)
    assert (missing.size(), missing.trim(), tail(missing.path, 10)) == (0, 0, b"")


def test_trimming_keeps_the_newest_and_leaves_a_quiet_log_alone(log: BoundedLog) -> None:
    text = b"".join(b"line %06d\n" % number for number in range(ROOM // 2 // 12))
    append(log, text)
    assert log.trim() == 0
    append(log, b"the end\n" * 10)
    assert log.trim() == len(text) + 80 - ROOM // 8
    assert log.size() == ROOM // 8
    assert tail(log.path, ROOM) == (text + b"the end\n" * 10)[-ROOM // 8 :]


def test_the_kernel_stops_a_writer_at_the_limit_and_lets_it_live(log: BoundedLog) -> None:
    code = (
        "import sys\n"
        "with open(sys.argv[1], 'ab', buffering=0) as file:\n"
        "    try:\n"
        "        while True: file.write(b'x' * 1000)\n"
        "    except OSError as error: print(error.errno)"
    )
    limits = (log.limit_bytes, log.limit_bytes)
    child = subprocess.run(
        [sys.executable, "-c", code, log.path],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits),
        capture_output=True,
        check=True,
    )
    assert int(child.stdout) == 27  # EFBIG
    assert log.size() == ROOM


def test_creating_it_again_empties_it(log: BoundedLog) -> None:
    append(log, b"old")
    log.create()
    assert log.size() == 0


def test_a_file_system_that_cannot_hold_the_hole_is_named(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))  # a tmpfs would hold any hole
    try:
        with pytest.raises(HostError, match=r"console\.log: no file with a hole"):
            BoundedLog(tmp_path / "console.log", GIB, ROOM).create()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_link_in_the_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"keep")
    (tmp_path / "console.log").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        BoundedLog(tmp_path / "console.log", GIB, ROOM).create()
    assert victim.read_bytes() == b"keep"
    with pytest.raises(OSError, match="symbolic links"):
        tail(tmp_path / "console.log", 10)
