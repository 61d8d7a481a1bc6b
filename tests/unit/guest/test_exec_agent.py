"""Programs run by the real agent, under AddressSanitizer and UBSan, on this machine."""

import os
import random
import resource
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from banger.guest.channel import AgentChannel, AgentRefusalError
from banger.guest.exec_session import ExecSession, Exit, Output
from banger.guest.frames import Frame, FrameDecoder, encode_frame
from banger.guest.protocol import Event, Request, Tag, encode_fields, encode_number
from banger.model.errors import GuestError, SpecError
from banger.model.exec import ExecRequest, TerminalSize
from tests.fakes.installation import alive, wait_until
from tests.unit.guest.conftest import StartAgent

pytestmark = pytest.mark.anyio
# nptl(7): the two first real-time signals are the C library's own, and no program may set how they are treated.
C_LIBRARY_SIGNALS = 0b11 << 31
NONCE = encode_fields({Tag.NONCE: b"n" * 16})


@pytest.fixture
async def agent(start_agent: StartAgent) -> AsyncIterator[AgentChannel]:
    port, _, _ = start_agent()
    async with await AgentChannel.from_socket(port, deadline_s=10) as channel:
        yield channel


async def finish(session: ExecSession) -> tuple[int, bytes, bytes]:
    """Read a session to its end: status, output, errors."""
    out = {False: b"", True: b""}
    while not isinstance(happening := await session.receive(), Exit):
        if isinstance(happening, Output):
            out[happening.is_error] += happening.data
    return happening.status, out[False], out[True]


async def execute(agent: AgentChannel, *argv: str, stdin: bytes = b"", **more: object) -> tuple[int, bytes, bytes]:
    request = ExecRequest(argv, **more)  # type: ignore[arg-type]  # a table of requests
    done = (-1, b"", b"")
    async with await agent.exec(request) as session, anyio.create_task_group() as group:

        async def feed() -> None:
            await session.send(stdin)
            await session.send_eof()

        group.start_soon(feed)
        done = await finish(session)
        group.cancel_scope.cancel()
    return done


async def test_a_program_has_what_a_login_of_root_has(start_agent: StartAgent) -> None:
    port, _, root = start_agent()
    (root / "etc/passwd").write_text("daemon:x:1:1::/:/bin/false\nroot:x:0:0:root:/root:/usr/bin/fish\n")
    async with await AgentChannel.from_socket(port, deadline_s=10) as agent:
        _, out, _ = await execute(agent, "env", env={"HOME": "/elsewhere", "B": "1"})
        assert set(out.decode().splitlines()) == {
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/elsewhere",
            "USER=root",
            "LOGNAME=root",
            "SHELL=/usr/bin/fish",
            "B=1",
        }
        script = "pwd; umask; ls /proc/self/fd | wc -w; grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f2"
        _, out, _ = await execute(agent, "sh", "-c", script)
    *others, blocked, ignored = out.decode().split()
    # Three, and the one by which ls reads the directory.
    assert others == [f"{root}/root", "0022", "4"]
    assert (int(blocked, 16) | int(ignored, 16)) & ~C_LIBRARY_SIGNALS == 0


async def test_a_program_is_looked_for_in_the_path_that_it_is_given(agent: AgentChannel, tmp_path: Path) -> None:
    program = tmp_path / "only-here"
    program.write_text("#!/bin/sh\necho here\n")
    program.chmod(0o755)
    assert await execute(agent, "only-here", env={"PATH": str(tmp_path)}) == (0, b"here\n", b"")
    assert (await execute(agent, "only-here"))[0] == 127


@pytest.mark.parametrize(
    ("argv", "status"),
    [(["sh", "-c", "exit 255"], 255), (["sh", "-c", "kill -TERM $$"], 143), (["/nowhere/x"], 127), (["/etc"], 126)],
)
async def test_every_end_has_its_status(agent: AgentChannel, argv: list[str], status: int) -> None:
    assert (await execute(agent, *argv))[0] == status


async def test_bytes_pass_both_ways_unharmed(agent: AgentChannel) -> None:
    data = random.Random(1).randbytes(2 << 20) + bytes(200_000) + b"\xff" * 70_000
    status, out, err = await execute(agent, "sh", "-c", "tee /dev/stderr", stdin=data)
    assert status == 0
    assert out == data
    assert err == data


async def test_output_comes_whole_before_the_end(agent: AgentChannel) -> None:
    for _ in range(20):
        assert await execute(agent, "sh", "-c", "printf %050000d 1; printf x >&2; exit 3") == (
            3,
            b"0" * 49999 + b"1",
            b"x",
        )


async def test_a_process_left_behind_does_not_hold_up_the_end(agent: AgentChannel) -> None:
    began = time.monotonic()
    status, out, _ = await execute(agent, "sh", "-c", "sleep 60 & echo $!")
    assert status == 0
    assert time.monotonic() - began < 5
    os.kill(int(out), 9)  # it is there: only sessions that are left are killed


async def test_many_run_at_once_and_a_stuck_one_holds_up_none(agent: AgentChannel) -> None:
    async with await agent.exec(ExecRequest(("yes",))), await agent.exec(ExecRequest(("sleep", "60"))) as deaf:
        with anyio.move_on_after(0.5):
            await deaf.send(bytes(10 << 20))
        results: list[bytes] = []

        async def one(number: int) -> None:
            data = bytes([number]) * 100_000
            results.append((await execute(agent, "cat", stdin=data))[1])

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(one, number)
    assert sorted(results) == [bytes([number]) * 100_000 for number in range(20)]


async def test_there_are_slots_for_64_and_they_are_given_back(agent: AgentChannel) -> None:
    for _ in range(2):
        sessions = [await agent.exec(ExecRequest(("sleep", "60"))) for _ in range(64)]
        with pytest.raises(AgentRefusalError) as refused:
            await agent.exec(ExecRequest(("true",)))
        assert refused.value.reason == "busy"
        for session in sessions:
            session.close()
        await anyio.sleep(2)
    assert (await execute(agent, "true"))[0] == 0


async def test_a_session_that_is_left_is_hung_up_on_and_then_killed(agent: AgentChannel) -> None:
    script = "trap '' HUP TERM; (trap '' HUP; sleep 1000) & echo $$ $!; while :; do sleep 1; done"
    async with await agent.exec(ExecRequest(("sh", "-c", script))) as session:
        happening = await session.receive()
        assert isinstance(happening, Output)
    pids = [int(word) for word in happening.data.split()]
    assert all(map(alive, pids))
    await anyio.to_thread.run_sync(wait_until, lambda: not any(map(alive, pids)), 5)


async def test_a_program_may_clean_up_when_it_is_hung_up_on(agent: AgentChannel, tmp_path: Path) -> None:
    script = f"trap 'echo bye > {tmp_path}/bye; exit' HUP; echo ready; while :; do sleep 0.05; done"
    async with await agent.exec(ExecRequest(("sh", "-c", script))) as session:
        await session.receive()
    await anyio.to_thread.run_sync(wait_until, (tmp_path / "bye").exists, 5)


async def test_what_a_program_says_while_it_cleans_up_does_not_kill_it(agent: AgentChannel, tmp_path: Path) -> None:
    clean_up = f"head -c 300000 /dev/zero; echo tidying >&2; echo bye > {tmp_path}/bye; exit"
    script = f"trap '{clean_up}' HUP; echo ready; while :; do sleep 0.05; done"
    async with await agent.exec(ExecRequest(("sh", "-c", script))) as session:
        await session.receive()
    await anyio.to_thread.run_sync(wait_until, (tmp_path / "bye").exists, 5)


async def test_a_new_hello_ends_what_runs_for_the_host_before(agent: AgentChannel) -> None:
    async with await agent.exec(ExecRequest(("sh", "-c", "echo $$; exec sleep 1000"))) as session:
        happening = await session.receive()
        assert isinstance(happening, Output)
        await agent.hello(deadline_s=5)
        with pytest.raises(GuestError, match="began again"):
            await session.receive()
    await anyio.to_thread.run_sync(wait_until, lambda: not alive(int(happening.data)), 5)


async def test_an_agent_that_dies_takes_its_programs_along(start_agent: StartAgent, checked_agent: Path) -> None:
    from tests.fakes.agent import make_root, spawn_agent

    root = Path(os.fspath(checked_agent)).parent / "root-of-the-killed"
    make_root(root)
    port, process = spawn_agent(checked_agent, root, 0)
    request = ExecRequest(("sh", "-c", "echo $$; exec sleep 1000"))
    async with await AgentChannel.from_socket(port, deadline_s=10) as agent, await agent.exec(request) as session:
        happening = await session.receive()
        assert isinstance(happening, Output)
        process.kill()
        process.communicate()
        with pytest.raises(GuestError):
            await session.receive()
    await anyio.to_thread.run_sync(wait_until, lambda: not alive(int(happening.data)), 5)


async def test_signals_reach_the_whole_group(agent: AgentChannel) -> None:
    script = "trap 'kill -0 $! 2>/dev/null || echo child-gone; exit 4' USR1; sleep 1000 & echo ready; wait; wait"
    async with await agent.exec(ExecRequest(("sh", "-c", script))) as session:
        await session.receive()
        await session.signal(10)
        assert (await finish(session))[0] == 4
        await session.signal(9)  # of no effect any more


async def test_a_terminal_has_a_size_and_is_the_controlling_one(agent: AgentChannel) -> None:
    size = TerminalSize(33, 99)
    script = "stty size; tty < /dev/tty; echo $TERM; trap 'stty size; exit 0' WINCH; echo ready; read x"
    async with await agent.exec(ExecRequest(("sh", "-c", script), terminal=size)) as session:
        said = b""
        while b"ready" not in said:
            happening = await session.receive()
            assert isinstance(happening, Output)
            said += happening.data
        assert said.split()[:2] == [b"33", b"99"]
        assert b"xterm" in said
        await session.resize(TerminalSize(20, 50))
        await session.send(b"\n")
        status, said, _ = await finish(session)
    assert status == 0
    assert b"20 50" in said


async def test_a_program_that_does_not_read_bounds_its_input(agent: AgentChannel) -> None:
    async with await agent.exec(ExecRequest(("sleep", "60"))) as session:
        with anyio.move_on_after(1):
            await session.send(bytes(1 << 20))
        assert session.room_bytes == 0
    assert (await execute(agent, "sh", "-c", "exec <&-; echo x", stdin=bytes(1 << 20)))[1] == b"x\n"


async def test_memory_does_not_grow_with_what_passes(start_agent: StartAgent) -> None:
    port, process, _ = start_agent()
    async with await AgentChannel.from_socket(port, deadline_s=10) as agent:

        async def resident() -> int:
            text = await anyio.Path(f"/proc/{process.pid}/statm").read_text()
            return int(text.split()[1]) * resource.getpagesize()

        await execute(agent, "cat", stdin=bytes(1 << 20))
        before = await resident()
        await execute(agent, "cat", stdin=os.urandom(8 << 20))
        for _ in range(50):
            await execute(agent, "true")
        assert await resident() - before < 4 << 20


@pytest.mark.parametrize(
    "request_",
    [
        ExecRequest(()),
        ExecRequest(("",)),
        ExecRequest(("a\0b",)),
        ExecRequest(("x" * 65000,)),
        ExecRequest(("x",), {"a": "\0"}),
    ],
)
async def test_a_command_that_cannot_be_sent_is_refused_here(agent: AgentChannel, request_: ExecRequest) -> None:
    with pytest.raises(SpecError):
        await agent.exec(request_)


def start_body(argv: bytes = b"cat\0", window: int = 100_000, **more: bytes) -> bytes:
    fields = {Tag.ARGV: argv, Tag.WINDOW: struct.pack(">I", window)}
    return encode_fields({**fields, **{Tag[name.upper()]: value for name, value in more.items()}})


class Raw:
    """A host that says what it likes."""

    def __init__(self, port: socket.socket) -> None:
        self._port = port
        self._decoder = FrameDecoder()
        self._frames: list[Frame] = []
        port.settimeout(10)
        self.send(Frame(Request.HELLO, 1, NONCE))
        self.until(Request.HELLO | 0x80)

    def send(self, *frames: Frame) -> None:
        self._port.sendall(b"".join(map(encode_frame, frames)))

    def until(self, kind: int) -> Frame:
        while True:
            while self._frames:
                frame = self._frames.pop(0)
                if frame.type == kind:
                    return frame
            self._frames += self._decoder.feed(self._port.recv(65536))


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (Frame(Request.EXEC_START, 7, start_body()), b"channel"),
        (Frame(Request.EXEC_STDIN, 7, b"x"), b"unknown"),
        (Frame(Request.EXEC_KILL, 7), b"channel"),
        (Frame(Request.HEALTHZ, 7, channel=3), b"channel"),
        (Frame(Request.EXEC_START, 7, b"", 3), b"bad_request"),
        (Frame(Request.EXEC_START, 7, start_body(b"cat"), 3), b"bad_request"),
        (Frame(Request.EXEC_START, 7, start_body(b"\0"), 3), b"bad_request"),
        (Frame(Request.EXEC_START, 7, start_body(b"a\0" * 20000), 3), b"bad_request"),
        (Frame(Request.EXEC_START, 7, start_body(env=b"A\0"), 3), b"bad_request"),
        (Frame(Request.EXEC_START, 7, start_body(env=b"=A\0"), 3), b"bad_request"),
        (Frame(Request.EXEC_START, 7, start_body(env=b"A=1"), 3), b"bad_request"),
        (Frame(Request.EXEC_START, 7, start_body(cwd=b"/tmp"), 3), b"bad_request"),
        (Frame(Request.EXEC_START, 7, start_body(cwd=b"/\0tmp\0"), 3), b"bad_request"),
        (Frame(Request.EXEC_START, 7, start_body(cwd=b"/" + b"x" * 4090 + b"\0"), 3), b"failed"),
        (Frame(Request.EXEC_START, 7, start_body(terminal=b"abc"), 3), b"bad_request"),
        (Frame(Request.EXEC_SIGNAL, 7, b"", 3), b"bad_request"),
    ],
)
def test_a_bad_request_is_refused(start_agent: StartAgent, frame: Frame, code: bytes) -> None:
    port, _, _ = start_agent()
    raw = Raw(port)
    raw.send(frame)
    refusal = raw.until(0xFF)
    assert b'"' + code + b'"' in refusal.body
    assert (refusal.request, refusal.channel) == (7, frame.channel)


def test_what_is_about_no_program_is_passed_over(start_agent: StartAgent) -> None:
    port, _, _ = start_agent()
    raw = Raw(port)
    raw.send(
        Frame(Request.EXEC_STDIN, 0, b"x", 3),
        Frame(Request.EXEC_SIGNAL, 0, encode_number(Tag.SIGNAL, 9), 3),
        Frame(Request.EXEC_RESIZE, 0, encode_fields({Tag.TERMINAL: b"abcd"}), 3),
        Frame(Request.EXEC_WINDOW, 0, encode_number(Tag.WINDOW, 9), 3),
        Frame(Request.EXEC_KILL, 0, b"", 3),
        Frame(Request.SYNC, 9),
    )
    assert raw.until(Request.SYNC | 0x80).request == 9


def test_output_stops_at_the_window_and_goes_on_with_it(start_agent: StartAgent) -> None:
    port, _, _ = start_agent()
    raw = Raw(port)
    raw.send(Frame(Request.EXEC_START, 2, start_body(b"yes\0", window=1000), 3))
    assert len(raw.until(Event.EXEC_STDOUT).body) == 1000
    raw.send(Frame(Request.SYNC, 9))
    raw.until(Request.SYNC | 0x80)  # nothing came before it, though yes would write for ever
    raw.send(Frame(Request.EXEC_WINDOW, 0, encode_number(Tag.WINDOW, 500), 3))
    assert len(raw.until(Event.EXEC_STDOUT).body) == 500
    raw.send(Frame(Request.EXEC_WINDOW, 0, encode_number(Tag.WINDOW, 0xFFFFFFFF), 3))
    assert len(raw.until(Event.EXEC_STDOUT).body) > 1000


@pytest.mark.parametrize("sizes", [[40000, 25537], [0, 1]])
def test_input_beyond_the_window_or_the_end_ends_the_program(start_agent: StartAgent, sizes: list[int]) -> None:
    port, _, _ = start_agent()
    raw = Raw(port)
    raw.send(Frame(Request.EXEC_START, 2, start_body(b"sleep\x0060\0"), 3))
    # A pipe takes 64 KiB away first: wait for the program to have it.
    raw.send(Frame(Request.EXEC_STDIN, 0, bytes(40000), 3), Frame(Request.EXEC_STDIN, 0, bytes(25536), 3))
    raw.send(*[Frame(Request.EXEC_STDIN, 0, bytes(size), 3) for size in sizes], Frame(Request.EXEC_STDIN, 0, b"x", 3))
    raw.send(*[Frame(Request.EXEC_STDIN, 0, bytes(65000), 3) for _ in range(3)])
    assert b"window" in raw.until(0xFF).body
    raw.send(Frame(Request.EXEC_START, 4, start_body(b"true\0"), 3))
    assert raw.until(Event.EXEC_EXIT).channel == 3


def test_a_channel_in_use_is_refused(start_agent: StartAgent) -> None:
    port, _, _ = start_agent()
    raw = Raw(port)
    raw.send(*[Frame(Request.EXEC_START, number, start_body(), 3) for number in (2, 3)])
    assert raw.until(0xFF).request == 3


def noise(rng: random.Random) -> Frame:
    """Return a frame about a program that is right more often than not."""
    channel = rng.randrange(1, 6)
    body = {
        Request.EXEC_START: start_body(
            rng.choice((b"cat\0", b"true\0", b"yes\0", b"nothing\0", b"sleep\x009\0", b"sh\0-c\0head -c 9;kill $$\0")),
            rng.choice((0, 1, 5000, 0xFFFFFFFF)),
            **rng.choice(({}, {"terminal": b"\0\x09\0\x09"}, {"cwd": b"/etc\0"}, {"env": b"A=1\0B\0"})),
        ),
        Request.EXEC_STDIN: rng.randbytes(rng.choice((0, 1, 100, 40000))),
        Request.EXEC_SIGNAL: encode_number(Tag.SIGNAL, rng.choice((0, 1, 2, 9, 15, 19, 64, 65, 2**32 - 1))),
        Request.EXEC_RESIZE: encode_fields({Tag.TERMINAL: rng.randbytes(4)}),
        Request.EXEC_WINDOW: encode_number(Tag.WINDOW, rng.choice((0, 1, 100_000, 2**32 - 1))),
        Request.EXEC_KILL: b"",
    }
    kind = rng.choice([*body] * 8 + [Request.HELLO])
    data = NONCE if kind == Request.HELLO else body[kind]
    return Frame(kind, rng.randrange(9), data if rng.randrange(9) else rng.randbytes(9), channel)


@pytest.mark.parametrize("seed", range(3))
async def test_noise_about_programs_neither_crashes_nor_deafens_the_agent(start_agent: StartAgent, seed: int) -> None:
    rng = random.Random(seed)
    port, process, _ = start_agent()
    port.setblocking(False)
    for number in range(600):
        pending = encode_frame(noise(rng) if number else Frame(Request.HELLO, 1, NONCE))
        while pending:
            with suppress(BlockingIOError):
                pending = pending[port.send(pending) :]
            with suppress(BlockingIOError):
                port.recv(65536)
    assert process.poll() is None
    async with await AgentChannel.from_socket(port, deadline_s=20) as agent:
        assert (await execute(agent, "echo", "well"))[1] == b"well\n"
