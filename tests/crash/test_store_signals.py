"""SIGKILL, ENOSPC and EIO at the system calls themselves, by strace(1): real processes, real files."""

import signal
from pathlib import Path

import pytest

from tests.crash.store_work import check
from tests.crash.strace import CHANGING, Call, after_begin, calls, strace
from tests.crash.test_engine_crash import victim, what_is_left
from tests.crash.test_store_failpoints import LONG

SURE = [name for name in LONG if name != "quarantine"]
"""Without the operation in which the test itself writes."""
SAMPLE = 10


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """The changing system calls of the workload."""
    directory = tmp_path_factory.mktemp("calls")
    done = strace(directory / "log", ["tests.crash.store_work", str(directory / "state"), *LONG], "-e", CHANGING)
    assert done.stdout.endswith(f"ack {len(LONG) - 1}\nend\n"), done.stderr
    return after_begin(calls(directory / "log"))


def spread(found: list[Call], count: int) -> list[Call]:
    """So many calls, evenly spread over the workload."""
    return found[:: max(1, len(found) // count)]


def kill_at(directory: Path, call: Call) -> None:
    root = directory / "state"
    inject = f"inject={call.name}:signal=KILL:when={call.ordinal}"
    done = strace(directory / "log", ["tests.crash.store_work", str(root), *LONG], "-e", CHANGING, "-e", inject)
    assert done.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}, done.stderr
    check(root, LONG, done.stdout.count("ack "))


def fail_at(directory: Path, call: Call, error: str) -> bool:
    """Whether the workload noticed; some errors, such as of removing what is only rubbish, need no notice."""
    root = directory / "state"
    inject = f"inject={call.name}:error={error}:when={call.ordinal}"
    done = strace(directory / "log", ["tests.crash.store_work", str(root), *SURE], "-e", CHANGING, "-e", inject)
    assert done.returncode == 0, f"{call.name} {call.ordinal} {error}: {done.stderr[-2000:]}"
    refusals = [line for line in done.stdout.splitlines() if line.startswith("refused ")]
    for line in refusals:
        assert line.split()[1] in {"NoSpaceError", "HostError", "StoreError", "DamagedError"}, line
        if error == "ENOSPC" and call.name != "fchmod":
            assert line.split()[1] == "NoSpaceError" or "banger.db" in line, line
    check(root, SURE, done.stdout.count("ack "))
    return bool(refusals)


def test_a_sigkill_at_a_system_call_loses_nothing_that_was_acknowledged(workload: list[Call], tmp_path: Path) -> None:
    for number, call in enumerate(spread(workload, SAMPLE)):
        (tmp_path / str(number)).mkdir()
        kill_at(tmp_path / str(number), call)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_sigkill_at_every_system_call_loses_nothing_that_was_acknowledged(
    workload: list[Call], tmp_path: Path
) -> None:
    for number, call in enumerate(workload):
        (tmp_path / str(number)).mkdir()
        kill_at(tmp_path / str(number), call)


@pytest.fixture(scope="module")
def sure_workload(tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """The changing system calls of the workload in which only the store writes."""
    directory = tmp_path_factory.mktemp("calls")
    strace(directory / "log", ["tests.crash.store_work", str(directory / "state"), *SURE], "-e", CHANGING)
    return after_begin(calls(directory / "log"))


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_write_that_fails_is_a_typed_error_and_nothing_undurable_is_recorded(
    sure_workload: list[Call], tmp_path: Path, error: str
) -> None:
    noticed = 0
    for number, call in enumerate(spread(sure_workload, SAMPLE // 2)):
        (tmp_path / str(number)).mkdir()
        noticed += fail_at(tmp_path / str(number), call, error)
    assert noticed >= SAMPLE // 4


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_every_write_that_fails_is_a_typed_error_and_nothing_undurable_is_recorded(
    sure_workload: list[Call], tmp_path: Path, error: str
) -> None:
    noticed = 0
    for number, call in enumerate(sure_workload):
        (tmp_path / str(number)).mkdir()
        noticed += fail_at(tmp_path / str(number), call, error)
    assert noticed > len(sure_workload) // 2


def kill_engine_at(directory: Path, call: Call) -> None:
    root = directory / "state"
    inject = f"inject={call.name}:signal=KILL:when={call.ordinal}"
    done = strace(directory / "log", ["tests.crash.victim", str(root), "create"], "-e", CHANGING, "-e", inject)
    assert done.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL, 0}, done.stderr
    assert victim(root, "recover").returncode == 0
    things, leases = what_is_left(root)
    assert things == leases, "something is on the host that no lease stands for, or the other way round"
    assert leases in ([], ["boot", "disk", "sync"])


def engine_calls(directory: Path) -> list[Call]:
    done = strace(directory / "log", ["tests.crash.victim", str(directory / "state"), "create"], "-e", CHANGING)
    assert done.returncode == 0, done.stderr
    found = calls(directory / "log")
    start = next(index for index, call in enumerate(found) if "banger.db" in call.arguments or call.name == "mkdir")
    return [call for call in found[start:] if not (call.name == "write" and call.arguments.startswith("1,"))]


def test_an_engine_killed_at_a_system_call_leaves_no_lease_without_release(tmp_path: Path) -> None:
    for number, call in enumerate(spread(engine_calls(tmp_path), 4)):
        (tmp_path / str(number)).mkdir()
        kill_engine_at(tmp_path / str(number), call)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_an_engine_killed_at_any_system_call_leaves_no_lease_without_release(tmp_path: Path) -> None:
    for number, call in enumerate(engine_calls(tmp_path)):
        (tmp_path / str(number)).mkdir()
        kill_engine_at(tmp_path / str(number), call)
