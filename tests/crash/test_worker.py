"""A worker killed at any boundary leaves nothing that the next one does not know, or cannot take away."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root]
_BOUNDARIES = 41
CALLS = {"sendto": 350, "sendmsg": 12, "ioctl": 100, "fdatasync": 7, "write": 25}
"""System calls that change something, and how many of each there are at least."""


def kill(directory: Path, what: str, *places: int) -> list[dict[str, object]]:
    directory.mkdir()
    argv = [
        "unshare",
        "--net",
        "--mount",
        "--propagation",
        "private",
        sys.executable,
        "-m",
        "tests.crash.worker_victim",
    ]
    done = subprocess.run(
        [*argv, str(directory), what, *map(str, places)], stdout=subprocess.PIPE, text=True, timeout=3600, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, lines
    return lines


@pytest.mark.requirement("DMN-001")
def test_a_worker_killed_at_any_of_some_boundaries_leaves_nothing(tmp_path: Path) -> None:
    places = sorted(random.sample(range(1, _BOUNDARIES + 1), 10))
    lines = kill(tmp_path / "some", "boundaries", *places)
    assert [line["number"] for line in lines[:-1]] == places
    assert not any(line["left"] for line in lines[:-1])


@pytest.mark.nightly
def test_a_worker_killed_at_each_boundary_leaves_nothing(tmp_path: Path) -> None:
    assert kill(tmp_path / "all", "boundaries")[-1] == {"boundaries": _BOUNDARIES, "leaks": 0}


def test_a_worker_killed_in_any_of_some_system_calls_leaves_nothing(tmp_path: Path) -> None:
    for call, most in CALLS.items():
        assert kill(tmp_path / call, call, random.randrange(1, most))[-1] == {"boundaries": 1, "leaks": 0}


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("call", CALLS)
def test_a_worker_killed_in_each_system_call_leaves_nothing(tmp_path: Path, call: str) -> None:
    last = kill(tmp_path / "all", call)[-1]
    assert last["leaks"] == 0
    assert int(str(last["boundaries"])) >= CALLS[call]
