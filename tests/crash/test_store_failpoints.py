"""The process dies before each step of the store, in the work and in the recovery: nothing acknowledged is lost."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.store_work import OPERATIONS, check, close_parts, open_parts, work

LONG = ["put", "adopt", "record", "same", "quarantine", "intend", "hold", "record", "collect", "release", "put"]


@pytest.fixture
def root() -> Iterator[Path]:
    """In memory: a killed process loses nothing of what the kernel has, so no disk has to turn."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as directory:
        yield Path(directory)


def tell(writer: int) -> None:
    os.write(writer, b"a")


def in_a_child(act: Callable[[Callable[[int], None]], None]) -> tuple[int, int]:
    """Fork, act, and tell how the child ended and how many acknowledgements came out of it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            act(lambda _number: tell(writer))
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as acks:
        count = len(acks.read())
    return os.waitpid(pid, 0)[1], count


def killer(at: int) -> Callable[[str], None]:
    seen = 0

    def reached(_step: str) -> None:
        nonlocal seen
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    return reached


def recover(place: Path, reached: Callable[[str], None]) -> None:
    close_parts(open_parts(place, reached))


def test_every_operation_is_in_the_workload() -> None:
    assert set(OPERATIONS) == set(LONG)


def test_dying_before_any_step_of_the_work_loses_nothing_that_was_acknowledged(root: Path) -> None:
    killed = 0
    while True:
        place = root / str(killed)
        status, acknowledged = in_a_child(lambda ack, p=place, k=killed: work(p, LONG, ack, killer(k)))  # type: ignore[misc]
        check(place, LONG, acknowledged)
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        killed += 1
    assert acknowledged == len(LONG)
    assert killed > 60


@pytest.mark.parametrize("first", [7, 12, 19, 33, 52])
def test_dying_before_any_step_of_the_recovery_leaves_it_to_the_next(root: Path, first: int) -> None:
    killed = 0
    while True:
        place = root / str(killed)
        status, acknowledged = in_a_child(lambda ack, p=place: work(p, LONG, ack, killer(first)))  # type: ignore[misc]
        assert status == signal.SIGKILL
        status, _ = in_a_child(lambda _ack, p=place, k=killed: recover(p, killer(k)))  # type: ignore[misc]
        check(place, LONG, acknowledged)
        if status == 0:
            break
        killed += 1
