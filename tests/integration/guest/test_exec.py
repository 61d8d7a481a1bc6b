"""Programs run in a real guest through its agent: one guest for all tests here, with a root disk of busybox."""

import os
import random
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from banger.guest.channel import AgentChannel
from banger.guest.exec_session import ExecSession, Exit, Output
from banger.model.errors import GuestError
from banger.model.exec import ExecRequest, TerminalSize
from tests.fakes.installation import Installation, installed
from tests.integration.guest.conftest import Guest, Kernel, make_disk, qemu

pytestmark = [pytest.mark.vm, pytest.mark.network, pytest.mark.anyio]
MIB = 1 << 20


@pytest.fixture(scope="module")
def busybox_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a root disk of one static program with many names."""
    directory = tmp_path_factory.mktemp("busybox")
    subprocess.run(["apt-get", "download", "-q", "busybox-static"], cwd=directory, check=True, capture_output=True)
    (archive,) = directory.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", archive, directory / "package"], check=True)
    busybox = directory / "package/bin/busybox"
    tree = directory / "tree"
    for name in ("bin", "etc", "root/repo"):
        (tree / name).mkdir(parents=True)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/ash\n")
    (tree / "bin/busybox").write_bytes(busybox.read_bytes())
    (tree / "bin/busybox").chmod(0o755)
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout
    for name in set(listed.split()) - {"busybox"}:
        (tree / "bin" / name).symlink_to("busybox")
    return make_disk(directory / "root.img", tree, "24M")


@pytest.fixture(scope="module")
def guest(
    tmp_path_factory: pytest.TempPathFactory, kernel: Kernel, initramfs: Path, busybox_disk: Path
) -> Iterator[Guest]:
    directory = tmp_path_factory.mktemp("guest")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    argv = qemu(kernel, initramfs, [("root", busybox_disk)], parameters="", port=port, board=None)
    with subprocess.Popen(argv, cwd=directory, stdin=subprocess.DEVNULL) as process:
        yield Guest(process, directory, port)
        process.kill()


@pytest.fixture
async def agent(guest: Guest) -> AsyncIterator[AgentChannel]:
    async with await guest.agent() as agent:
        yield agent


@pytest.fixture
def banger(guest: Guest, tmp_path: Path) -> Iterator[Installation]:
    """Command line and daemon in front of the guest."""
    with installed(tmp_path) as installation:
        installation.env["FAKE_AGENT_SOCKET"] = str(guest.directory / "agent.sock")
        installation.ok("vm", "create", "--name", "box")
        yield installation


async def finish(session: ExecSession) -> tuple[int, bytes, bytes]:
    out = {False: bytearray(), True: bytearray()}
    with anyio.fail_after(120):
        while not isinstance(happening := await session.receive(), Exit):
            if isinstance(happening, Output):
                out[happening.is_error] += happening.data
    return happening.status, bytes(out[False]), bytes(out[True])


async def execute(agent: AgentChannel, *argv: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    done = (-1, b"", b"")
    async with await agent.exec(ExecRequest(argv)) as session, anyio.create_task_group() as group:

        async def feed() -> None:
            await session.send(stdin)
            await session.send_eof()

        group.start_soon(feed)
        done = await finish(session)
        group.cancel_scope.cancel()
    return done


async def test_every_end_has_its_status_and_errors_are_apart(agent: AgentChannel) -> None:
    for status in (0, 1, 42, 126, 127, 255):
        done = await execute(agent, "sh", "-c", f"echo out; echo err >&2; exit {status}")
        assert done == (status, b"out\n", b"err\n")
    assert (await execute(agent, "sh", "-c", "kill -9 $$"))[0] == 137
    assert (await execute(agent, "nothing"))[0] == 127
    assert (await execute(agent, "/etc"))[0] == 126


async def test_a_program_is_root_at_home(agent: AgentChannel) -> None:
    _, out, _ = await execute(agent, "sh", "-c", "id -u; pwd; echo $HOME $USER $SHELL; ls /proc/self/fd | wc -l")
    assert out.decode().split() == ["0", "/root", "/root", "root", "/bin/ash", "4"]


async def test_many_bytes_pass_both_ways_unharmed(agent: AgentChannel) -> None:
    await pass_both_ways(agent, 20 * MIB)


@pytest.mark.nightly
async def test_very_many_bytes_pass_both_ways_unharmed(agent: AgentChannel) -> None:
    await pass_both_ways(agent, 100 * MIB)


async def pass_both_ways(agent: AgentChannel, size: int) -> None:
    data = random.Random(size).randbytes(size)
    status, out, _ = await execute(agent, "cat", stdin=data)
    assert status == 0
    assert out == data


async def test_twenty_run_at_once(agent: AgentChannel) -> None:
    results: list[tuple[int, bytes, bytes]] = []

    async def one(number: int) -> None:
        script = f"sleep 0.5; wc -c; exit {number}"
        results.append(await execute(agent, "sh", "-c", script, stdin=bytes(number * 10_000)))

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(one, number)
    assert sorted(results) == [(number, f"{number * 10_000}\n".encode(), b"") for number in range(20)]


async def test_a_reader_that_stands_still_holds_up_nobody(agent: AgentChannel) -> None:
    async with await agent.exec(ExecRequest(("cat", "/dev/zero"))):
        await anyio.sleep(0.5)
        assert (await execute(agent, "echo", "ok"))[1] == b"ok\n"
        await agent.healthz(deadline_s=5)


async def test_a_terminal_has_a_size_and_can_be_resized(agent: AgentChannel) -> None:
    request = ExecRequest(("sh", "-i"), terminal=TerminalSize(33, 99))
    async with await agent.exec(request) as session:
        await session.send(b"stty size; tty; stty -echo\n")
        await expect(session, rb"33 99\r\n/dev/pts/0\r\n")
        await session.resize(TerminalSize(20, 50))
        await session.send(b"stty size\n")
        await expect(session, rb"20 50\r\n")
        await session.send(b"sleep 1000\n")
        await anyio.sleep(0.5)
        await session.send(b"\x03")
        await anyio.sleep(0.5)
        await session.send(b"exit 5\n")
        assert (await finish(session))[0] == 5


async def expect(session: ExecSession, pattern: bytes) -> None:
    said = b""
    with anyio.fail_after(15):
        while not re.search(pattern, said):
            happening = await session.receive()
            if isinstance(happening, Output):
                said += happening.data


async def test_a_session_that_is_left_is_killed_with_its_children(agent: AgentChannel) -> None:
    script = "trap '' HUP; sleep 4321 & sleep 4321 & wait"
    async with await agent.exec(ExecRequest(("sh", "-c", script))):
        await until(agent, count("4321"), "3")
    await until(agent, count("4321"), "0")


def count(word: str) -> str:
    """Count the processes that have a word on their command line, but for the one that asks."""
    return f"grep -ls '[{word[0]}]{word[1:]}' /proc/[0-9]*/cmdline | wc -l"


async def until(agent: AgentChannel, script: str, wanted: str) -> None:
    with anyio.fail_after(10):
        while (await execute(agent, "sh", "-c", f"{script}; sleep 0.1"))[1].decode().strip() != wanted:
            pass


async def test_no_zombies_and_no_descriptors_are_left(agent: AgentChannel) -> None:
    descriptors = "ls /proc/$(pidof banger-agent)/fd | wc -l"
    before = (await execute(agent, "sh", "-c", descriptors))[1]
    for _ in range(20):
        await execute(agent, "sh", "-c", "sleep 0 &")
    assert (await execute(agent, "sh", "-c", descriptors))[1] == before
    assert (await execute(agent, "sh", "-c", "grep -l '^State:.*Z' /proc/[0-9]*/status 2>/dev/null"))[1] == b""


async def test_an_agent_that_is_killed_comes_back_and_its_programs_are_gone(agent: AgentChannel) -> None:
    async with await agent.exec(ExecRequest(("sleep", "5432"))) as session:
        async with await agent.exec(ExecRequest(("sh", "-c", "kill -9 $(pidof banger-agent); sleep 5432"))) as killer:
            with pytest.raises(GuestError):
                await finish(killer)
        with pytest.raises(GuestError, match="started again"):
            await finish(session)
    await until(agent, count("5432"), "0")


def test_the_command_line_runs_it_and_takes_it_along(banger: Installation, guest: Guest) -> None:
    done = banger.run("vm", "exec", "box", "--", "sh", "-c", "uname -s; exit 42")
    assert (done.returncode, done.stdout, done.stderr) == (42, "Linux\n", "")
    argv = banger.argv("vm", "exec", "box", "--", "sh", "-c", "echo ready; exec sleep 6543")
    with subprocess.Popen(argv, env=banger.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        os.kill(process.pid, signal.SIGKILL)
    script = f"for i in 1 2 3 4 5 6; do test $({count('6543')}) = 0 && exit 0; sleep 0.5; done; exit 1"
    assert banger.run("vm", "exec", "box", "--", "sh", "-c", script).returncode == 0
