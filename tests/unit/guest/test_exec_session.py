"""The host's end of a program, against agents of the test's making: slow readers, lies, ends in the middle."""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import anyio.abc
import pytest

from banger.guest.agents import Agents
from banger.guest.channel import AgentChannel, AgentRefusalError
from banger.guest.exec_session import INPUT_WINDOW_BYTES, WINDOW_BYTES, ExecSession, Exit, Output, Room
from banger.guest.frames import Frame, FrameDecoder, encode_frame
from banger.guest.protocol import ERROR_TYPE, REPLY_BIT, Event, Request
from banger.model.errors import DeadlineError, GuestError
from banger.model.exec import ExecRequest

pytestmark = pytest.mark.anyio
TRUE = ExecRequest(("true",))


class FakeAgent:
    """Says welcome, and that programs have started; notes all that it is told, and says what a test has it say."""

    def __init__(self, port: socket.socket | None = None) -> None:
        self._port = port
        self._stream: anyio.abc.SocketStream | None = None
        self.frames: list[Frame] = []
        self.silent = False
        self.deaf = anyio.Event()
        self.deaf.set()

    async def serve(self) -> None:
        assert self._port
        await self.serve_stream(await anyio.abc.UNIXSocketStream.from_socket(self._port))

    async def serve_stream(self, stream: anyio.abc.SocketStream) -> None:
        decoder = FrameDecoder()
        self._stream = stream
        async with stream:
            try:
                while True:
                    await self.deaf.wait()
                    for frame in decoder.feed(await stream.receive()):
                        self.frames.append(frame)
                        await self._answer(frame)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return

    async def _answer(self, frame: Frame) -> None:
        if frame.type == Request.HELLO:
            body = f'{{"nonce":"{frame.body[4:].hex()}","protocol":2,"version":"9"}}'
            await self.say(Frame(frame.type | REPLY_BIT, frame.request, body.encode()))
        elif frame.type == Request.EXEC_START and not self.silent:
            await self.say(Frame(frame.type | REPLY_BIT, frame.request, b'{"pid":7}', frame.channel))

    async def say(self, *frames: Frame) -> None:
        assert self._stream
        await self._stream.send(b"\0" + b"".join(map(encode_frame, frames)))

    async def write(self, session: ExecSession, data: bytes, kind: int = Event.EXEC_STDOUT) -> None:
        await self.say(Frame(kind, 0, data, session.number))

    async def exit(self, session: ExecSession, body: bytes = b'{"code":0}') -> None:
        await self.write(session, body, Event.EXEC_EXIT)

    def told(self, kind: Request) -> list[Frame]:
        return [frame for frame in self.frames if frame.type == kind]

    def close(self) -> None:
        assert self._port
        self._port.shutdown(socket.SHUT_RDWR)


@pytest.fixture
async def fake() -> AsyncIterator[tuple[FakeAgent, AgentChannel]]:
    ours, theirs = socket.socketpair()
    agent = FakeAgent(theirs)
    async with anyio.create_task_group() as group:
        group.start_soon(agent.serve)
        async with await AgentChannel.from_socket(ours, deadline_s=5) as channel:
            yield agent, channel
        group.cancel_scope.cancel()


Fake = tuple[FakeAgent, AgentChannel]


async def settle(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - the fake notes what it is told, and tells nobody
            await anyio.sleep(0.01)


async def test_output_of_many_programs_goes_to_whom_it_belongs(fake: Fake) -> None:
    agent, channel = fake
    sessions = [await channel.exec(TRUE) for _ in range(30)]
    assert len({session.number for session in sessions}) == 30
    for session in reversed(sessions):
        await agent.write(session, b"%d" % session.number)
        await agent.write(session, b"e%d" % session.number, Event.EXEC_STDERR)
        await agent.exit(session, b'{"signal":9}')
    for session in sessions:
        said = [await session.receive(), await session.receive()]
        assert Output(b"e%d" % session.number, is_error=True) in said
        assert Output(b"%d" % session.number, is_error=False) in said
        assert await session.receive() == Exit(137)
        session.close()
    assert agent.told(Request.EXEC_KILL) == []


async def test_a_slow_reader_gives_no_window_and_blocks_nobody(fake: Fake) -> None:
    agent, channel = fake
    async with await channel.exec(TRUE) as slow, await channel.exec(TRUE) as quick:
        for _ in range(WINDOW_BYTES // 32768):
            await agent.write(slow, bytes(32768))
        await agent.write(quick, b"x")
        assert await quick.receive() == Output(b"x", is_error=False)
        assert agent.told(Request.EXEC_WINDOW) == []
        assert await slow.receive() == Output(bytes(WINDOW_BYTES), is_error=False)
        await settle(lambda: len(agent.told(Request.EXEC_WINDOW)) == 1)
        told = agent.told(Request.EXEC_WINDOW)[0]
        assert (told.channel, told.body[-4:]) == (slow.number, struct.pack(">I", WINDOW_BYTES))


@pytest.mark.parametrize(
    "lie",
    [
        (Event.EXEC_CREDIT, b'{"bytes":1}'),
        (Event.EXEC_CREDIT, b'{"bytes":-1}'),
        (Event.EXEC_CREDIT, b"{}"),
        (Event.EXEC_EXIT, b'{"code":256}'),
        (Event.EXEC_EXIT, b"{}"),
        (Event.EXEC_EXIT, b'{"code":1,"signal":1}'),
        (77, b""),
    ],
)
async def test_a_lie_about_a_program_ends_the_conversation(fake: Fake, lie: tuple[int, bytes]) -> None:
    agent, channel = fake
    async with await channel.exec(TRUE) as session:
        await agent.write(session, lie[1], lie[0])
        with pytest.raises(GuestError, match="guest agent"):
            await session.receive()
    assert not channel.is_open
    with pytest.raises(GuestError):
        await channel.healthz()


async def test_output_beyond_the_window_ends_the_conversation(fake: Fake) -> None:
    agent, channel = fake
    async with await channel.exec(TRUE) as session:
        for _ in range(WINDOW_BYTES // 32768):
            await agent.write(session, bytes(32768))
        await agent.write(session, b"x")
        await settle(lambda: not channel.is_open)
        assert await session.receive() == Output(bytes(WINDOW_BYTES), is_error=False)
        with pytest.raises(GuestError, match="more output than there is room for"):
            await session.receive()


async def test_input_waits_for_room_and_is_told_of_it(fake: Fake) -> None:
    agent, channel = fake
    async with await channel.exec(TRUE) as session, anyio.create_task_group() as group:
        group.start_soon(session.send, bytes(INPUT_WINDOW_BYTES + 1000))
        await settle(lambda: session.room_bytes == 0)
        await settle(lambda: sum(len(f.body) for f in agent.told(Request.EXEC_STDIN)) == INPUT_WINDOW_BYTES)
        await agent.write(session, b'{"bytes":600}', Event.EXEC_CREDIT)
        await agent.write(session, b'{"bytes":900}', Event.EXEC_CREDIT)
        await settle(lambda: sum(len(f.body) for f in agent.told(Request.EXEC_STDIN)) == INPUT_WINDOW_BYTES + 1000)
        assert await session.receive() == Room(1500)
        assert session.room_bytes == 500


async def test_a_vmm_that_does_not_read_holds_input_back_in_bounded_memory(fake: Fake) -> None:
    agent, channel = fake
    sessions = [await channel.exec(TRUE) for _ in range(20)]
    agent.deaf = anyio.Event()
    async with anyio.create_task_group() as group:
        for session in sessions:
            group.start_soon(session.send, bytes(INPUT_WINDOW_BYTES))
        await anyio.sleep(0.3)
        transport = channel._port._transport
        assert transport
        assert transport.get_write_buffer_size() < 300_000
        agent.deaf.set()
    await settle(lambda: sum(len(f.body) for f in agent.told(Request.EXEC_STDIN)) == 20 * INPUT_WINDOW_BYTES)
    for session in sessions:
        session.close()


async def test_a_guest_that_goes_away_ends_every_program_after_its_output(fake: Fake) -> None:
    agent, channel = fake
    async with await channel.exec(TRUE) as one, await channel.exec(TRUE) as other:
        await agent.write(one, b"last words")
        await settle(lambda: bool(one._output[False]))
        agent.close()
        assert await one.receive() == Output(b"last words", is_error=False)
        for session in (one, other):
            with pytest.raises(GuestError, match="closed"):
                await session.receive()
            with pytest.raises(GuestError, match="closed"):
                await session.send(b"x")


async def test_an_agent_that_was_started_again_has_lost_its_programs_and_is_greeted_anew(fake: Fake) -> None:
    agent, channel = fake
    async with await channel.exec(TRUE) as session:
        await agent.say(Frame(Event.STARTED, 0))
        with pytest.raises(GuestError, match="started again"):
            await session.receive()
    async with await channel.exec(TRUE) as session:
        await agent.write(session, b"new")
        assert await session.receive() == Output(b"new", is_error=False)
    assert len(agent.told(Request.HELLO)) == 2


async def test_a_session_that_is_left_is_killed_and_what_still_comes_is_dropped(fake: Fake) -> None:
    agent, channel = fake
    async with await channel.exec(TRUE) as session:
        pass
    await settle(lambda: [frame.channel for frame in agent.told(Request.EXEC_KILL)] == [session.number])
    await agent.write(session, b"late")
    await agent.exit(session)
    async with await channel.exec(TRUE) as other:
        assert other.number != session.number
        await agent.exit(other)
        assert await other.receive() == Exit(0)


async def test_a_refusal_about_a_program_ends_that_program_only(fake: Fake) -> None:
    agent, channel = fake
    async with await channel.exec(TRUE) as one, await channel.exec(TRUE) as other:
        await agent.say(Frame(ERROR_TYPE, 0, b'{"code":"window","message":"too much"}', one.number))
        with pytest.raises(AgentRefusalError, match="too much"):
            await one.receive()
        await agent.exit(other)
        assert await other.receive() == Exit(0)


async def test_after_the_end_nothing_is_sent_any_more(fake: Fake) -> None:
    agent, channel = fake
    async with await channel.exec(TRUE) as session:
        await agent.exit(session)
        assert await session.receive() == Exit(0)
        assert await session.receive() == Exit(0)
        before = len(agent.frames)
        await session.send(b"x")
        await session.send_eof()
        await session.signal(9)
    await anyio.sleep(0.05)
    assert len(agent.frames) == before


async def test_a_start_that_is_given_up_is_killed(fake: Fake) -> None:
    agent, channel = fake
    agent.silent = True
    with pytest.raises(DeadlineError):
        await channel.exec(TRUE, deadline_s=0.2)
    await settle(lambda: len(agent.told(Request.EXEC_KILL)) == 1)


async def test_a_guest_has_one_connection_whoever_asks_and_a_new_one_after_its_end(tmp_path: Path) -> None:
    agents: list[FakeAgent] = []

    async def serve(stream: anyio.abc.SocketStream) -> None:
        agents.append(FakeAgent())
        await agents[-1].serve_stream(stream)

    registry = Agents()
    found: list[AgentChannel] = []
    listener = await anyio.create_unix_listener(tmp_path / "agent.sock")
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)

        async def ask() -> None:
            found.append(await registry.channel(tmp_path / "agent.sock", deadline_s=5))

        async with anyio.create_task_group() as asking:
            for _ in range(5):
                asking.start_soon(ask)
        assert len(agents) == 1
        assert len(set(map(id, found))) == 1
        assert agents[0]._stream
        await agents[0]._stream.aclose()
        await settle(lambda: not found[0].is_open)
        await ask()
        assert found[-1].is_open
        assert len(agents) == 2
        await registry.aclose()
        group.cancel_scope.cancel()
    await listener.aclose()


async def test_who_waits_for_a_guest_that_boots_holds_up_nobody_beyond_their_own_deadline(tmp_path: Path) -> None:
    registry = Agents()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: registry.channel(tmp_path / "agent.sock", deadline_s=60))
        await anyio.sleep(0.05)
        with pytest.raises(DeadlineError, match=r"agent\.sock"):
            await registry.channel(tmp_path / "agent.sock", deadline_s=0.2)
        group.cancel_scope.cancel()
