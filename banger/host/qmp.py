"""Talk to a running QEMU over QMP, its machine protocol of one JSON object a line (QEMU docs/interop/qmp-spec).

QEMU's monitor socket serves one client at a time, so a connection is made for a few commands and closed again; a
second client is not refused but waits for its greeting, which is why even the greeting has a deadline. Everything QEMU
sends is bounded: a guest that has taken over QEMU must not be able to fill the memory of whoever asks for its state.

`qemu.qmp` on PyPI (0.0.6: alive, typed, LGPL library with a GPL text interface in the same wheel) was considered. It
brings an asyncio-only state machine of four tasks, legacy modules and reconnection, and connects by path, which is
limited to 107 bytes; the commands that banger needs are a request and a reply.
"""

import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio
import msgspec
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from banger.model.errors import DeadlineError, HostError

LINE_LIMIT_BYTES = 1024 * 1024
EVENT_LIMIT = 256
"""Events kept while nobody asks for them; the oldest go first."""
DEFAULT_DEADLINE_S = 5.0


class QmpCommandError(HostError):
    """QEMU refused a command. `error_class` is QMP's: GenericError, CommandNotFound, DeviceNotFound..."""

    def __init__(self, message: str, error_class: str) -> None:
        super().__init__(message)
        self.error_class = error_class


class QmpProtocolError(HostError):
    """The other end does not speak QMP, or went away in the middle."""


@dataclass(frozen=True, slots=True)
class QmpEvent:
    """Something QEMU told unasked, such as ``SHUTDOWN``; `at_us` is its clock, microseconds since the epoch."""

    name: str
    data: Mapping[str, object]
    at_us: int


class _Error(msgspec.Struct):
    error_class: str = msgspec.field(name="class", default="GenericError")
    desc: str = ""


class _Timestamp(msgspec.Struct):
    seconds: int = 0
    microseconds: int = 0


class _Message(msgspec.Struct):
    """Any line QEMU sends: which fields are set says which kind it is."""

    greeting: object = msgspec.field(name="QMP", default=msgspec.UNSET)
    id: object = None
    result: object = msgspec.field(name="return", default=msgspec.UNSET)
    error: _Error | None = None
    event: str | None = None
    data: dict[str, object] = msgspec.field(default_factory=dict)
    timestamp: _Timestamp = msgspec.field(default_factory=_Timestamp)


_decoder = msgspec.json.Decoder(_Message)


class QmpClient:
    """One connection whose greeting is done. Made by `connect_qmp`; one task uses it at a time."""

    def __init__(self, stream: SocketStream, name: str) -> None:
        self._stream = stream
        self._lines = BufferedByteReceiveStream(stream)
        self._name = name
        self._last_id = 0
        self._events: deque[QmpEvent] = deque(maxlen=EVENT_LIMIT)

    async def greet(self) -> None:
        """Read the greeting and leave negotiation mode. Raises QmpProtocolError."""
        if (await self._receive()).greeting is msgspec.UNSET:
            raise QmpProtocolError(f"{self._name}: no QMP greeting")
        await self._request("qmp_capabilities", {})

    async def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, *, deadline_s: float = DEFAULT_DEADLINE_S
    ) -> object:
        """Run a command and return its ``return`` value.

        Raises QmpCommandError if QEMU refuses it, QmpProtocolError if the connection ends, DeadlineError after
        `deadline_s` seconds; after that the connection can still be used, the late reply is passed over.
        """
        with _deadline(deadline_s, f"{self._name}: {command}"):
            return await self._request(command, arguments or {})

    async def wait_event(self, name: str, *, deadline_s: float) -> QmpEvent:
        """Return the first event of that name not yet taken; drops those before it. Raises as `execute` does."""
        with _deadline(deadline_s, f"{self._name}: event {name}"):
            while True:
                while self._events:
                    event = self._events.popleft()
                    if event.name == name:
                        return event
                await self._receive()

    def take_events(self) -> list[QmpEvent]:
        """Return and forget the events that came while commands were running."""
        taken = list(self._events)
        self._events.clear()
        return taken

    async def _request(self, command: str, arguments: Mapping[str, object]) -> object:
        self._last_id += 1
        request = {"execute": command, "arguments": arguments, "id": self._last_id}
        try:
            await self._stream.send(msgspec.json.encode(request) + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise QmpProtocolError(f"{self._name}: {command}: QEMU has gone away") from error
        while True:
            reply = await self._receive()
            # QEMU reports a line it could not parse without an id; every other reply carries that of its request.
            if reply.error is not None and reply.id in (self._last_id, None):
                raise QmpCommandError(f"{self._name}: {command}: {reply.error.desc}", reply.error.error_class)
            if reply.result is not msgspec.UNSET and reply.id == self._last_id:
                return reply.result

    async def _receive(self) -> _Message:
        try:
            line = await self._lines.receive_until(b"\n", LINE_LIMIT_BYTES)
            message = _decoder.decode(line)
        except anyio.DelimiterNotFound as error:
            raise QmpProtocolError(f"{self._name}: a line of more than {LINE_LIMIT_BYTES} bytes") from error
        except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError) as error:
            raise QmpProtocolError(f"{self._name}: QEMU has gone away") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise QmpProtocolError(f"{self._name}: not QMP: {error}") from error
        if message.event is not None:
            at_us = message.timestamp.seconds * 1_000_000 + message.timestamp.microseconds
            self._events.append(QmpEvent(message.event, message.data, at_us))
        return message


@contextlib.asynccontextmanager
async def connect_qmp(socket: Path, *, deadline_s: float = DEFAULT_DEADLINE_S) -> AsyncIterator[QmpClient]:
    """Connect to QEMU's monitor socket for the length of a block.

    The address goes through /proc/self/fd, so that the path may be longer than the 107 bytes of unix(7). Raises
    QmpProtocolError if nobody listens there, DeadlineError if there is no greeting in `deadline_s` seconds.
    """
    try:
        folder = os.open(socket.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise QmpProtocolError(f"{socket}: {error.strerror}") from error
    try:
        with _deadline(deadline_s, f"{socket}: greeting (another client may hold the monitor)"):
            try:
                stream = await anyio.connect_unix(f"/proc/self/fd/{folder}/{socket.name}")
            except OSError as error:
                raise QmpProtocolError(f"{socket}: {error.strerror or error}") from error
    finally:
        os.close(folder)
    async with stream:
        client = QmpClient(stream, str(socket))
        with _deadline(deadline_s, f"{socket}: greeting (another client may hold the monitor)"):
            await client.greet()
        yield client


@contextlib.contextmanager
def _deadline(deadline_s: float, what: str) -> Iterator[None]:
    try:
        with anyio.fail_after(deadline_s):
            yield
    except TimeoutError as error:
        raise DeadlineError(f"{what}: nothing after {deadline_s:g} s") from error
