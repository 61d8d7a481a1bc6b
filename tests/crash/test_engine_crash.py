"""kill -9 at every boundary of the crash protocol: after recovery nothing is left, or all of it stands."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from banger.store.state import open_state

ROOT = Path(__file__).parents[2]
CREATE = [
    *(("toy.build", point) for point in ("started", "made", "recorded")),
    *((node, point) for node in ("disk", "boot", "sync") for point in ("before-intent", "intended", "applied", "held")),
    ("run", "concluded"),
    ("run", "handed-over"),
]
RELEASE = [(node, point) for node in ("sync", "boot", "disk") for point in ("releasing", "undone", "dropped")]


def victim(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tests.crash.victim", str(root), *words]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def boundaries(root: Path, action: str) -> list[tuple[str, ...]]:
    done = victim(root, action)
    assert done.returncode == 0, done.stderr
    return [tuple(line.split()) for line in done.stdout.splitlines()]


def what_is_left(root: Path) -> tuple[list[str], list[str]]:
    state = open_state(root)
    leases = [lease.node for lease in state.journal.all()]
    assert list(state.scratch.root.iterdir()) == []
    assert list((state.cas.root / "incoming").iterdir()) == []
    state.close()
    return sorted(path.name.removeprefix("host-") for path in root.glob("host-*")), sorted(leases)


def test_the_lists_of_boundaries_are_complete(tmp_path: Path) -> None:
    assert boundaries(tmp_path, "create") == CREATE
    passed = boundaries(tmp_path, "delete")
    assert passed == [*RELEASE, ("run", "concluded"), ("run", "handed-over")]


@pytest.mark.parametrize(("node", "point"), CREATE)
def test_a_create_killed_anywhere_leaves_nothing_after_recovery(tmp_path: Path, node: str, point: str) -> None:
    assert victim(tmp_path, "create", node, point).returncode == -signal.SIGKILL
    assert victim(tmp_path, "recover").returncode == 0
    expected = ["boot", "disk", "sync"] if point == "handed-over" else []
    assert what_is_left(tmp_path) == (expected, expected)
    assert victim(tmp_path, "create").returncode == 0
    assert what_is_left(tmp_path)[0] == ["boot", "disk", "sync"]


@pytest.mark.parametrize(("node", "point"), RELEASE)
@pytest.mark.parametrize("during", ["delete", "recover"])
def test_a_delete_killed_anywhere_is_finished_by_recovery(tmp_path: Path, node: str, point: str, during: str) -> None:
    if during == "recover":
        assert victim(tmp_path, "create", "run", "concluded").returncode == -signal.SIGKILL
    else:
        assert victim(tmp_path, "create").returncode == 0
    assert victim(tmp_path, during, node, point).returncode == -signal.SIGKILL
    assert victim(tmp_path, "recover").returncode == 0
    assert what_is_left(tmp_path) == ([], [])
