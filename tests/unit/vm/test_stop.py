"""The stop ladder ends a process as gently as it lets itself be ended, and always."""

import subprocess
import sys
import time
from collections.abc import Iterator

import anyio
import pytest

from banger.host.pidfd import ProcessIdentity, identify, is_alive
from banger.model.errors import GuestError
from banger.vm.stop import Rung, StoppedBy, kill, stop

pytestmark = pytest.mark.anyio


class Stubborn:
    """A process that ends only when its standard input does, whatever signal it can ignore."""

    def __init__(self) -> None:
        code = "import signal, sys; signal.signal(15, signal.SIG_IGN); print(flush=True); sys.stdin.read()"
        self.process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout
        self.process.stdout.readline()
        found = identify(self.process.pid)
        assert found
        self.identity: ProcessIdentity = found

    async def release(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()


@pytest.fixture
def machine() -> Iterator[Stubborn]:
    machine = Stubborn()
    with machine.process:
        yield machine
        machine.process.kill()


async def nothing() -> None:
    """A request that is taken and has no effect."""


async def refuse() -> None:
    raise GuestError("the agent is not there")


async def hang() -> None:
    await anyio.sleep_forever()


async def test_the_first_rung_that_works_is_the_last_one_tried(machine: Stubborn) -> None:
    ladder = [Rung(StoppedBy.AGENT, machine.release, 5), Rung(StoppedBy.QUIT, refuse, 5)]
    ended = await stop(machine.identity, ladder)
    assert (ended.by, ended.failures) == (StoppedBy.AGENT, ())


async def test_a_refusal_is_remembered_and_the_next_rung_is_tried(machine: Stubborn) -> None:
    ladder = [Rung(StoppedBy.AGENT, refuse, 5), Rung(StoppedBy.POWER_BUTTON, machine.release, 5)]
    ended = await stop(machine.identity, ladder)
    assert ended.by is StoppedBy.POWER_BUTTON
    assert ended.failures == ("agent: the agent is not there",)


async def test_a_machine_that_ignores_everything_is_killed_within_the_sum_of_the_deadlines(machine: Stubborn) -> None:
    began = time.monotonic()
    ladder = [Rung(StoppedBy.AGENT, hang, 0.1), Rung(StoppedBy.POWER_BUTTON, nothing, 0.1)]
    ended = await stop(machine.identity, ladder)
    assert ended.by is StoppedBy.KILL
    assert time.monotonic() - began < 1
    assert ended.failures == ("agent: no answer", "power button: still running after 0.1 s")
    assert not is_alive(machine.identity)


async def test_who_does_not_even_answer_is_not_waited_for(machine: Stubborn) -> None:
    began = time.monotonic()
    ladder = [Rung(StoppedBy.AGENT, hang, 30), Rung(StoppedBy.QUIT, machine.release, 5)]
    ended = await stop(machine.identity, ladder)
    assert (ended.by, ended.failures) == (StoppedBy.QUIT, ("agent: no answer",))
    assert time.monotonic() - began < 6


async def test_a_machine_that_has_ended_needs_nothing(machine: Stubborn) -> None:
    await kill(machine.identity)
    ended = await stop(machine.identity, [Rung(StoppedBy.AGENT, refuse, 5)])
    assert (ended.by, ended.failures) == (StoppedBy.NOTHING, ())


async def test_a_request_that_fails_because_the_machine_ended_is_a_success(machine: Stubborn) -> None:
    async def cut_off() -> None:
        await machine.release()
        raise ConnectionResetError

    ended = await stop(machine.identity, [Rung(StoppedBy.QUIT, cut_off, 5)])
    assert (ended.by, ended.failures) == (StoppedBy.QUIT, ())


async def test_a_stop_that_is_cancelled_does_not_kill(machine: Stubborn) -> None:
    with anyio.move_on_after(0.05):
        await stop(machine.identity, [Rung(StoppedBy.AGENT, nothing, 60)])
    assert is_alive(machine.identity)
