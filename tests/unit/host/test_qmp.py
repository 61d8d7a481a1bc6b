"""The QMP client, against a fake that misbehaves and against a real QEMU."""

import json
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from banger.host import qmp
from banger.host.qmp import QmpCommandError, QmpProtocolError, connect_qmp
from banger.model.errors import DeadlineError

pytestmark = pytest.mark.anyio
GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@asynccontextmanager
async def fake(address: Path, talk: Callable[[SocketStream], Awaitable[None]]) -> AsyncIterator[None]:
    async with await anyio.create_unix_listener(address) as listener, anyio.create_task_group() as group:

        async def serve(stream: SocketStream) -> None:
            async with stream:
                try:
                    await talk(stream)
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return

        group.start_soon(listener.serve, serve)
        yield
        group.cancel_scope.cancel()


async def reply(stream: SocketStream, body: dict[str, object]) -> None:
    request = json.loads(await stream.receive())
    await stream.send(json.dumps({**body, "id": request["id"]}).encode() + b"\n")


async def greet(stream: SocketStream) -> None:
    await stream.send(GREETING)
    await reply(stream, {"return": {}})


def _listens(path: Path) -> bool:
    """QEMU makes the file a moment before it listens there."""
    folder = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(f"/proc/self/fd/{folder}/{path.name}") == 0
    finally:
        os.close(folder)


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[Path]:
    """A real QEMU without a machine, in a folder whose path is longer than a socket address may be."""
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    argv = ["qemu-system-x86_64", "-M", "none", "-nodefaults", "-display", "none"]
    process = subprocess.Popen([*argv, "-qmp", "unix:qmp.sock,server=on,wait=off"], cwd=folder)
    try:
        while not _listens(folder / "qmp.sock"):
            assert process.poll() is None
            time.sleep(0.01)
        yield folder / "qmp.sock"
    finally:
        process.kill()
        process.wait()


async def test_a_real_qemu_answers_over_a_path_that_is_too_long_for_a_socket(qemu: Path) -> None:
    assert len(os.fsencode(qemu)) > 107
    async with connect_qmp(qemu) as client:
        status = await client.execute("query-status")
        assert isinstance(status, dict)
        assert status["status"] == "running"
        await client.execute("stop")
        assert [event.name for event in client.take_events()] == ["STOP"]
        await client.execute("cont")
        assert (await client.wait_event("RESUME", deadline_s=5)).at_us > 0


async def test_a_real_qemu_refuses_an_unknown_command_and_the_connection_goes_on(qemu: Path) -> None:
    async with connect_qmp(qemu) as client:
        with pytest.raises(QmpCommandError, match="make-coffee") as caught:
            await client.execute("make-coffee")
        assert caught.value.error_class == "CommandNotFound"
        assert await client.execute("query-name") == {}


async def test_a_second_client_gets_a_deadline_and_not_silence(qemu: Path) -> None:
    async with connect_qmp(qemu):
        with pytest.raises(DeadlineError, match="another client may hold the monitor"):
            async with connect_qmp(qemu, deadline_s=0.2):
                pass


async def test_a_connection_leaves_no_descriptor_behind(qemu: Path) -> None:
    before = open_descriptors()
    for _ in range(5):
        async with connect_qmp(qemu) as client:
            await client.execute("query-status")
    assert open_descriptors() == before


async def test_a_socket_that_nobody_serves_is_named(tmp_path: Path) -> None:
    with pytest.raises(QmpProtocolError, match=r"qmp\.sock: No such file"):
        async with connect_qmp(tmp_path / "qmp.sock"):
            pass
    with pytest.raises(QmpProtocolError, match=r"gone/qmp\.sock: No such file"):
        async with connect_qmp(tmp_path / "gone/qmp.sock"):
            pass


async def test_a_line_without_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qmp, "LINE_LIMIT_BYTES", 10_000)

    async def endless(stream: SocketStream) -> None:
        while True:
            await stream.send(b"x" * 4096)

    async with fake(tmp_path / "s", endless):
        with pytest.raises(QmpProtocolError, match="more than 10000 bytes"):
            async with connect_qmp(tmp_path / "s"):
                pass


@pytest.mark.parametrize("line", [b"hello\n", b"[]\n", b'{"event": 3}\n', b"\xff\xfe\n"])
async def test_what_is_not_qmp_is_refused(tmp_path: Path, line: bytes) -> None:
    async with fake(tmp_path / "s", lambda stream: stream.send(line)):
        with pytest.raises(QmpProtocolError, match="not QMP"):
            async with connect_qmp(tmp_path / "s"):
                pass


async def test_a_command_before_the_greeting_is_not_sent(tmp_path: Path) -> None:
    async with fake(tmp_path / "s", lambda stream: stream.send(b'{"return": {}, "id": 1}\n')):
        with pytest.raises(QmpProtocolError, match="no QMP greeting"):
            async with connect_qmp(tmp_path / "s"):
                pass


async def test_qemu_going_away_in_a_command_is_an_error_and_not_a_hang(tmp_path: Path) -> None:
    async with fake(tmp_path / "s", greet), connect_qmp(tmp_path / "s") as client:
        with pytest.raises(QmpProtocolError, match="gone away"):
            await client.execute("query-status")


async def test_a_reply_that_comes_after_its_deadline_is_not_taken_for_the_next_one(tmp_path: Path) -> None:
    asked = anyio.Event()

    async def slow(stream: SocketStream) -> None:
        await greet(stream)
        first = json.loads(await stream.receive())
        await asked.wait()
        await stream.send(json.dumps({"return": "late", "id": first["id"]}).encode() + b"\n")
        await reply(stream, {"return": "right"})

    async with fake(tmp_path / "s", slow), connect_qmp(tmp_path / "s") as client:
        with pytest.raises(DeadlineError, match="first"):
            await client.execute("first", deadline_s=0.05)
        asked.set()
        assert await client.execute("second") == "right"


async def test_events_in_excess_push_out_the_oldest(tmp_path: Path) -> None:
    async def flood(stream: SocketStream) -> None:
        await greet(stream)
        for number in range(qmp.EVENT_LIMIT + 10):
            await stream.send(json.dumps({"event": f"E{number}"}).encode() + b"\n")
        await reply(stream, {"return": {}})

    async with fake(tmp_path / "s", flood), connect_qmp(tmp_path / "s") as client:
        await client.execute("query-status")
        events = client.take_events()
        assert len(events) == qmp.EVENT_LIMIT
        assert events[0].name == "E10"
