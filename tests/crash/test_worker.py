"""A worker killed at any boundary leaves nothing that the next one does not know, or cannot take away."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root]
_BOUNDARIES = 41


def kill(directory: Path, *places: int) -> list[dict[str, object]]:
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
        [*argv, str(directory), *map(str, places)], stdout=subprocess.PIPE, text=True, timeout=280, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, lines
    return lines


@pytest.mark.requirement("DMN-001")
def test_a_worker_killed_at_any_of_some_boundaries_leaves_nothing(tmp_path: Path) -> None:
    places = sorted(random.sample(range(1, _BOUNDARIES + 1), 10))
    lines = kill(tmp_path / "some", *places)
    assert [line["number"] for line in lines[:-1]] == places
    assert not any(line["left"] for line in lines[:-1])


@pytest.mark.nightly
def test_a_worker_killed_at_each_boundary_leaves_nothing(tmp_path: Path) -> None:
    assert kill(tmp_path / "all")[-1] == {"boundaries": _BOUNDARIES, "leaks": 0}
