"""Processes are recognised by more than their number, and are waited for and signalled through a pidfd."""

import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.host.pidfd import ProcessIdentity, identify, is_alive, open_process

pytestmark = pytest.mark.anyio


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def identity_of(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    identity = identify(process.pid)
    assert identity
    return identity


async def test_a_process_is_ended_and_reaped(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper)
    with open_process(identity) as process:
        assert process
        assert not await process.wait(0.05)
        assert process.send(signal.SIGKILL)
        assert await process.wait(5)
        assert not process.send(signal.SIGKILL)
    assert not is_alive(identity)
    with pytest.raises(ProcessLookupError):
        os.kill(identity.pid, 0)  # not even a zombie


async def test_a_number_that_now_means_another_process_is_refused(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper)
    earlier = dataclasses.replace(identity, start_ticks=identity.start_ticks - 1)
    other_boot = dataclasses.replace(identity, boot_id="0" * 36)
    for recorded in (earlier, other_boot):
        assert not is_alive(recorded)
        with open_process(recorded) as process:
            assert process is None
    assert sleeper.poll() is None


def test_a_zombie_counts_as_ended_and_goes_away(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper)
    os.kill(sleeper.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while identify(sleeper.pid):
        assert time.monotonic() < deadline
    assert not is_alive(identity)
    with pytest.raises(ChildProcessError):
        os.waitpid(sleeper.pid, os.WNOHANG)


def test_a_name_with_brackets_and_spaces_does_not_shift_the_start_time() -> None:
    code = "import ctypes,sys;ctypes.CDLL(None).prctl(15,b'a) R 1 2 (x',0,0,0);print(flush=True);sys.stdin.read()"
    with subprocess.Popen(["python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        identity = identity_of(process)
        uptime_ticks = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
        assert uptime_ticks - 60 * 100 < identity.start_ticks <= uptime_ticks


def test_holding_processes_leaves_no_descriptor_behind(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper)
    before = open_descriptors()
    for _ in range(5):
        assert is_alive(identity)
    assert open_descriptors() == before
