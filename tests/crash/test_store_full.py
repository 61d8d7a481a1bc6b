"""A disk that is full: a typed error, nothing half recorded, and everything goes on once there is room."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.full_disk import OPERATIONS

ROOT = Path(__file__).parents[2]


def on_a_small_disk(directory: Path, *words: str) -> list[list[str]]:
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, "-m", "tests.crash.full_disk", str(directory), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def look(lines: list[list[str]]) -> None:
    refused = [line for line in lines if line[2] != "-"]
    assert {line[2] for line in refused} <= {"NoSpaceError", "HostError"}
    assert sum(line[2] == "NoSpaceError" for line in refused) > len(refused) // 2
    assert len({line[1] for line in refused}) > 3, "it was full in few different places"
    assert int(lines[-1][1]) == len(OPERATIONS)


def test_a_disk_that_is_full_anywhere_in_the_work_is_told_as_such_and_loses_nothing(tmp_path: Path) -> None:
    look(on_a_small_disk(tmp_path, "8", "424", "16"))


def test_from_a_disk_that_is_full_to_the_last_byte_something_can_still_be_removed(tmp_path: Path) -> None:
    on_a_small_disk(tmp_path, "get-out")


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_disk_of_any_size_that_is_full_is_told_as_such_and_loses_nothing(tmp_path: Path) -> None:
    look(on_a_small_disk(tmp_path, "4", "600", "1"))
