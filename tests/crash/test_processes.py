"""Several processes on one state directory: each Build is made once, and what a killed one was making is taken over."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from banger.engine.run import Engine
from banger.model.digest import digest_of
from banger.model.errors import ConflictError
from banger.plan import Plan
from banger.store.claims import Claims
from banger.store.state import join_state, open_state
from tests.crash.crowd import BUILDS
from tests.fakes.toys import ToyEffect

ROOT = Path(__file__).parents[2]


def start(root: Path, runs: int, seconds_ms: int) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.crash.crowd", str(root), str(runs), str(seconds_ms)]
    return subprocess.Popen(argv, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def begun(root: Path) -> Counter[int]:
    log = root / "builds"
    return Counter(int(line) for line in log.read_text().split()) if log.exists() else Counter()


def wait_until_begun(root: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while begun(root).total() < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_two_processes_with_eight_runs_each_make_every_build_once(tmp_path: Path) -> None:
    crowds = [start(tmp_path, 8, 100) for _ in range(2)]
    outputs = [crowd.communicate(timeout=60) for crowd in crowds]
    assert [crowd.returncode for crowd in crowds] == [0, 0], outputs
    assert begun(tmp_path) == dict.fromkeys(range(BUILDS), 1)
    state = open_state(tmp_path)
    assert len(state.actions.all()) == BUILDS
    state.close()


def test_a_second_process_finds_everything_made(tmp_path: Path) -> None:
    for _ in range(2):
        crowd = start(tmp_path, 2, 1)
        assert crowd.wait(60) == 0
        crowd.communicate()
    assert begun(tmp_path) == dict.fromkeys(range(BUILDS), 1)


def test_what_a_killed_process_was_making_is_taken_over(tmp_path: Path) -> None:
    victim = start(tmp_path, 1, 60_000)
    wait_until_begun(tmp_path, 1)
    heir = start(tmp_path, 8, 1)
    assert heir.stdout is not None
    assert heir.stdout.readline().split(" ", 1)[1] == "another process is making it\n"
    time.sleep(0.3)
    assert heir.poll() is None
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()
    assert heir.wait(60) == 0
    heir.communicate()
    builds = begun(tmp_path)
    assert set(builds) == set(range(BUILDS))
    assert builds.total() <= BUILDS + 2  # again only what was under way: two cores at most
    assert builds[BUILDS - 1] == 1


def test_a_claim_ends_with_its_process_and_not_before(tmp_path: Path) -> None:
    digest = digest_of("test", 1)
    code = (
        "import sys; from pathlib import Path; from banger.store.claims import Claims;"
        "assert Claims(Path(sys.argv[1])).take(sys.argv[2]); print('taken', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "claims"), digest]
    holder = subprocess.Popen(argv, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "taken\n"
    claims = Claims(tmp_path / "claims")
    assert not claims.take(digest)
    assert claims.take(digest_of("test", 2))
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    assert claims.take(digest)
    claims.close()


def test_an_announcement_is_seen_by_others_and_is_no_news_to_oneself(tmp_path: Path) -> None:
    one, other = Claims(tmp_path / "claims"), Claims(tmp_path / "claims")
    before = one.announced(), other.announced()
    one.announce()
    assert one.announced() == before[0]
    assert other.announced() != before[1]
    one.close()
    other.close()


def test_a_guest_changes_nothing_on_the_host_and_a_sweep_spares_its_work(tmp_path: Path) -> None:
    guest = join_state(tmp_path)
    plan = Plan("test", "vm1")
    plan.add(ToyEffect(name="disk"))
    with pytest.raises(ConflictError, match="only the daemon changes the host"):
        Engine(guest).run_blocking(plan, None)
    with guest.scratch.directory() as place:
        owner = open_state(tmp_path)
        assert place.is_dir()
        second = join_state(tmp_path)
        assert place.is_dir()
        second.close()
        owner.close()
    guest.close()


def test_the_last_to_leave_lets_the_next_one_sweep(tmp_path: Path) -> None:
    state = join_state(tmp_path)
    (state.scratch.root / "left").mkdir()
    state.close()
    join_state(tmp_path).close()
    assert not (tmp_path / "tmp" / "left").exists()
