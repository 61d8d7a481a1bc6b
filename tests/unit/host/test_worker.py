"""The owner's end of the root worker: whatever it answers is an answer, or an error that says what to do."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from banger.host.worker import ask, has_worker, release
from banger.model.errors import BangerError, ConflictError, HostError, TransientError
from banger.worker import wire
from banger.worker.validation import bridge_name, instance_id

VM = "a" * 32


class FakeWorker:
    """Says hello, and then whatever it is told to."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[wire.AnyRequest] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            self._read(connection)
            connection.sendall(wire.encode(wire.Welcome(seq=1, version=1, instance="01234567")))
            self._read(connection)
            connection.sendall(self.answer)

    def _read(self, connection: socket.socket) -> None:
        buffer = bytearray()
        while (body := wire.take_frame(buffer)) is None:
            buffer += connection.recv(999)
        self.asked.append(wire.decode_request(body))

    def close(self) -> None:
        self._thread.join(10)
        self._listener.close()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Callable[[bytes], FakeWorker]]:
    made: list[FakeWorker] = []

    def make(answer: bytes) -> FakeWorker:
        made.append(FakeWorker(tmp_path / "sock", answer))
        return made[-1]

    yield make
    for one in made:
        one.close()


def probe(seq: int) -> wire.AnyRequest:
    return wire.Probe(seq=seq, kind="tap", vm=VM)


async def test_it_asks_and_is_answered(fake: Callable[[bytes], FakeWorker], tmp_path: Path) -> None:
    worker = fake(wire.encode(wire.Alive(seq=2, alive=True)))
    assert await ask(probe, tmp_path / "sock") == wire.Alive(seq=2, alive=True)
    assert worker.asked == [wire.Hello(seq=1, version=wire.VERSION), probe(2)]


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (b"", TransientError, "hung up"),
        (b"\0\0\0\2{}", HostError, "no answer"),
        (b"\0\0\0\0", HostError, "no answer"),
        (b"\xff" * 8, HostError, "no answer"),
        (wire.encode(wire.Alive(seq=3, alive=True)), HostError, "another request"),
        (wire.encode(wire.Refused(seq=2, code="foreign")), ConflictError, "not banger's"),
        (wire.encode(wire.Refused(seq=2, code="rate")), TransientError, "too many"),
        (wire.encode(wire.Refused(seq=2, code="kernel", errno=16)), HostError, "busy"),
        (wire.encode(wire.Refused(seq=2, code="kernel")), HostError, "did not do it"),
        (wire.encode(wire.Refused(seq=2, code="quota")), HostError, "as many VMs"),
    ],
)
async def test_what_it_cannot_do_is_an_error_with_a_hint(
    fake: Callable[[bytes], FakeWorker], tmp_path: Path, answer: bytes, error: type[BangerError], says: str
) -> None:
    fake(answer)
    with pytest.raises(error, match=says) as caught:
        await ask(probe, tmp_path / "sock")
    assert caught.value.hint or error is TransientError


async def test_where_there_is_none_the_hint_starts_one(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot be reached") as caught:
        await ask(probe, tmp_path / "none")
    assert caught.value.hint == "sudo banger worker"


async def test_what_a_reboot_has_taken_along_needs_no_worker_to_be_released(tmp_path: Path) -> None:
    await release("tap", VM, tmp_path / "none")


async def test_while_a_bridge_is_there_a_release_needs_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = bridge_name(instance_id(os.getuid()))
    monkeypatch.setattr("banger.host.worker.socket.if_nameindex", lambda: [(1, "lo"), (2, bridge)])
    with pytest.raises(HostError, match="cannot be reached"):
        await release("tap", VM, tmp_path / "none")


def test_a_socket_that_an_ended_worker_left_is_no_worker(tmp_path: Path) -> None:
    assert not has_worker(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        assert not has_worker(tmp_path / "sock")
        listener.listen()
        assert has_worker(tmp_path / "sock")
    assert (tmp_path / "sock").is_socket()
    assert not has_worker(tmp_path / "sock")
