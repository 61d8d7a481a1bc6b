"""The host's end against agents that lie, stall, or go away: always an error of ours, and always in time."""

import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import anyio.abc
import pytest

from banger.guest.channel import AgentChannel, AgentRefusalError
from banger.guest.frames import Frame, FrameDecoder, encode_frame
from banger.guest.protocol import ERROR_TYPE, REPLY_BIT, Request
from banger.model.errors import DeadlineError, GuestError

pytestmark = pytest.mark.anyio
Liar = Callable[[Frame], bytes]


def answer(frame: Frame, body: bytes, kind: int | None = None) -> bytes:
    return encode_frame(Frame(frame.type | REPLY_BIT if kind is None else kind, frame.request, body))


def welcome(frame: Frame, protocol: int = 2) -> bytes:
    nonce = frame.body[4:].hex()
    return b"\0" + answer(frame, f'{{"nonce":"{nonce}","protocol":{protocol},"version":"9"}}'.encode())


@pytest.fixture
async def talk() -> AsyncIterator[Callable[[Liar], socket.socket]]:
    """Return a function that puts an agent of the test's making behind a socket."""
    async with anyio.create_task_group() as group:

        def start(liar: Liar) -> socket.socket:
            ours, theirs = socket.socketpair()
            group.start_soon(serve, theirs, liar)
            return ours

        yield start
        group.cancel_scope.cancel()


async def serve(port: socket.socket, liar: Liar) -> None:
    decoder = FrameDecoder()
    stream = await anyio.abc.UNIXSocketStream.from_socket(port)
    async with stream:
        try:
            while True:
                for frame in decoder.feed(await stream.receive()):
                    reply = welcome(frame) if frame.type == Request.HELLO else liar(frame)
                    if reply == b"close":
                        return
                    await stream.send(reply)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return


async def test_silence_ends_at_the_deadline(talk: Callable[[Liar], socket.socket]) -> None:
    async with await AgentChannel.from_socket(talk(lambda _: b"\0"), deadline_s=5) as channel:
        started = time.monotonic()
        with pytest.raises(DeadlineError, match="healthz") as late:
            await channel.healthz(deadline_s=0.3)
        assert 0.3 <= time.monotonic() - started < 1
        assert late.value.hint


async def test_an_agent_that_never_says_welcome_ends_at_the_deadline() -> None:
    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(DeadlineError):
        await AgentChannel.from_socket(ours, deadline_s=0.3)


async def test_a_socket_that_never_appears_ends_at_the_deadline(tmp_path: Path) -> None:
    with pytest.raises(DeadlineError, match=r"agent\.sock"):
        await AgentChannel.connect(tmp_path / "later/agent.sock", deadline_s=0.3)


async def test_a_path_beyond_the_limit_of_unix_sockets_connects(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with pytest.raises(DeadlineError):
        await AgentChannel.connect(deep / "agent.sock", deadline_s=0.1)
    listener = await anyio.create_unix_listener(tmp_path / "short.sock")
    (tmp_path / "short.sock").rename(deep / "agent.sock")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, greet)
        async with await AgentChannel.connect(deep / "agent.sock", deadline_s=5) as channel:
            assert channel.welcome
        group.cancel_scope.cancel()


async def greet(stream: anyio.abc.SocketStream) -> None:
    decoder = FrameDecoder()
    async with stream:
        for frame in decoder.feed(await stream.receive()):
            await stream.send(b"left over from before" + welcome(frame))


async def test_a_guest_that_goes_away_is_told_at_once(talk: Callable[[Liar], socket.socket]) -> None:
    async with await AgentChannel.from_socket(talk(lambda _: b"close"), deadline_s=5) as channel:
        with pytest.raises(GuestError, match="closed"):
            await channel.healthz(deadline_s=30)


@pytest.mark.parametrize("body", [b"", b"{}", b"not json", b'{"time_ns":-1,"uptime_ns":0}'])
async def test_a_nonsense_answer_is_a_guest_error(body: bytes, talk: Callable[[Liar], socket.socket]) -> None:
    async with await AgentChannel.from_socket(talk(lambda frame: answer(frame, body)), deadline_s=5) as channel:
        with pytest.raises(GuestError, match="no guesttime"):
            await channel.get_time(deadline_s=5)


async def test_an_answer_of_another_type_is_a_guest_error(talk: Callable[[Liar], socket.socket]) -> None:
    liar = talk(lambda frame: answer(frame, b"{}", kind=0x99))
    async with await AgentChannel.from_socket(liar, deadline_s=5) as channel:
        with pytest.raises(GuestError, match="type 153"):
            await channel.sync(deadline_s=5)


async def test_an_endless_flood_is_cut_off(talk: Callable[[Liar], socket.socket]) -> None:
    def flood(_: Frame) -> bytes:
        return (b"\xff" * 60000 + b"\0") * 100

    async with await AgentChannel.from_socket(talk(flood), deadline_s=5) as channel:
        with pytest.raises(GuestError, match="no answer"):
            await channel.healthz(deadline_s=30)


async def test_a_refusal_has_its_reason_and_no_escape_sequences(talk: Callable[[Liar], socket.socket]) -> None:
    body = b'{"code":"failed","message":"no \\u001b]0;owned\\u0007"}'
    liar = talk(lambda frame: answer(frame, body, kind=ERROR_TYPE))
    async with await AgentChannel.from_socket(liar, deadline_s=5) as channel:
        with pytest.raises(AgentRefusalError) as refused:
            await channel.sync()
    assert refused.value.reason == "failed"
    assert refused.value.message.isprintable()


async def test_answers_find_their_askers_in_any_order(talk: Callable[[Liar], socket.socket]) -> None:
    held: list[bytes] = []

    def reverse(frame: Frame) -> bytes:
        held.insert(0, answer(frame, f'{{"time_ns":{frame.request},"uptime_ns":0}}'.encode()))
        return b"".join(held) if len(held) == 3 else b"\0"

    times: list[int] = []

    async def ask(channel: AgentChannel) -> None:
        times.append((await channel.get_time(deadline_s=5)).time_ns)

    liar = talk(reverse)
    async with await AgentChannel.from_socket(liar, deadline_s=5) as channel, anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask, channel)
    assert sorted(times) == [2, 3, 4]


async def test_a_late_answer_is_dropped(talk: Callable[[Liar], socket.socket]) -> None:
    late: list[bytes] = []

    def slow(frame: Frame) -> bytes:
        late.append(answer(frame, f'{{"time_ns":{frame.request},"uptime_ns":0}}'.encode()))
        return b"\0" if len(late) == 1 else b"".join(late)

    async with await AgentChannel.from_socket(talk(slow), deadline_s=5) as channel:
        with pytest.raises(DeadlineError):
            await channel.get_time(deadline_s=0.1)
        assert (await channel.get_time(deadline_s=5)).time_ns == 3
