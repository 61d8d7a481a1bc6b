"""Talk to the agent of one guest, over the socket that the VMM ties to its virtio-serial port.

Nothing here waits without a deadline, and nothing polls: a HELLO that is sent while the guest boots lies in the socket
until the agent opens its port.
"""

import contextlib
import itertools
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.abc

from banger.guest import protocol
from banger.guest.frames import DELIMITER, PROTOCOL_VERSION, Frame, FrameDecoder, encode_frame
from banger.guest.protocol import AnswerT, GuestTime, Health, Identity, Nothing, Ports, Refusal, Request, Welcome
from banger.model.errors import DeadlineError, GuestError

REQUEST_DEADLINE_S = 10.0
POWER_OFF_DEADLINE_S = 5.0
_CONNECT_RETRY_S = 0.02
# An agent that died and was started again has lost what was sent to it.
_HELLO_AGAIN_S = 1.0
_CHUNK_BYTES = 65536
# A guest's agent sends nothing unasked: more than its last host may have left unread is an attack on our time.
_UNASKED_LARGEST_BYTES = 4 * 1024 * 1024
_HINT = "banger vm logs <vm>"


class AgentRefusalError(GuestError):
    """The agent understood and refused; `reason` is the code of docs/guest-protocol.md."""

    def __init__(self, reason: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class AgentChannel:
    """A conversation with one agent. Several tasks may ask at once; close it, or use it in `async with`.

    A VMM serves one connection at a time: a second one waits, unheard, until the first is closed.
    Every method raises DeadlineError when its time is over, AgentRefusalError when the agent refuses, and GuestError
    when the guest went away or sends what is no answer.
    """

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        """Take a connected stream; `hello` comes first."""
        self._stream = stream
        self._decoder = FrameDecoder()
        self._requests = itertools.count(1)
        self._answers: dict[int, Frame | None] = {}
        self._sending = anyio.Lock()
        self._receiving = anyio.Lock()
        self._torn = True
        self._unasked_bytes = 0
        self.welcome: Welcome | None = None

    @classmethod
    async def connect(cls, path: Path, *, deadline_s: float) -> Self:
        """Connect to the VMM's socket and wait until the guest's agent answers, also through the guest's boot."""
        with _deadline(deadline_s, f"{path}: no answer from the guest agent"):
            channel = cls(await _connect(path))
            try:
                await channel.hello(deadline_s=deadline_s)
            except BaseException:
                await channel.aclose()
                raise
            return channel

    @classmethod
    async def from_socket(cls, connected: socket.socket, *, deadline_s: float) -> Self:
        """Take over a connected unix socket, and wait until the guest's agent answers."""
        channel = cls(await anyio.abc.UNIXSocketStream.from_socket(connected))
        try:
            await channel.hello(deadline_s=deadline_s)
        except BaseException:
            await channel.aclose()
            raise
        return channel

    async def __aenter__(self) -> Self:
        """Return self."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; the agent forgets what was asked."""
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()

    async def hello(self, *, deadline_s: float) -> Welcome:
        """Begin the conversation: the agent forgets the host before us, and we drop what it said to that host.

        Once more, it begins again with an agent that was started again.
        """
        self.welcome = None
        nonce = secrets.token_bytes(protocol.NONCE_BYTES)
        request = next(self._requests)
        frame = Frame(Request.HELLO, request, protocol.encode_fields({protocol.Tag.NONCE: nonce}))
        with _deadline(deadline_s, "the guest agent does not answer"):
            while self.welcome is None:
                with anyio.move_on_after(_HELLO_AGAIN_S):
                    await self._send(frame)
                    while self.welcome is None:
                        self.welcome = await self._receive_welcome(nonce)
        if self.welcome.protocol != PROTOCOL_VERSION:
            raise GuestError(
                f"guest agent {self.welcome.version} speaks protocol {self.welcome.protocol}, not {PROTOCOL_VERSION}",
                hint="banger vm restart <vm>",
            )
        return self.welcome

    async def healthz(self, *, deadline_s: float = REQUEST_DEADLINE_S) -> Health:
        """Ask how the guest is, and how far its boot has come."""
        return await self._ask(Request.HEALTHZ, b"", Health, deadline_s)

    async def ports(self, *, deadline_s: float = REQUEST_DEADLINE_S) -> Ports:
        """Ask which TCP ports listen in the guest."""
        return await self._ask(Request.PORTS, b"", Ports, deadline_s)

    async def get_time(self, *, deadline_s: float = REQUEST_DEADLINE_S) -> GuestTime:
        """Read the guest's clock."""
        return await self._ask(Request.TIME, b"", GuestTime, deadline_s)

    async def set_time(self, time_ns: int, *, deadline_s: float = REQUEST_DEADLINE_S) -> GuestTime:
        """Set the guest's clock (ns since 1970), and read it back."""
        return await self._ask(Request.SET_TIME, protocol.encode_time(time_ns), GuestTime, deadline_s)

    async def identity(self, identity: Identity, *, deadline_s: float = REQUEST_DEADLINE_S) -> None:
        """Say who the guest is; SSH starts, or goes on with the new keys, when this is done."""
        await self._ask(Request.IDENTITY, protocol.encode_identity(identity), Nothing, deadline_s)

    async def wait_ssh(self, *, deadline_s: float) -> None:
        """Return when the guest's port 22 listens."""
        try:
            # A little longer here: the agent's reason for being late is worth more than that it is late.
            await self._ask(Request.WAIT_SSH, protocol.encode_deadline(deadline_s), Nothing, deadline_s + 1)
        except AgentRefusalError as error:
            if error.reason == "deadline":
                raise DeadlineError(f"SSH is not ready after {deadline_s:g} s: {error.message}", hint=_HINT) from error
            raise

    async def sync(self, *, deadline_s: float = REQUEST_DEADLINE_S) -> None:
        """Write everything to the guest's disks."""
        await self._ask(Request.SYNC, b"", Nothing, deadline_s)

    async def shutdown(
        self, *, power_off_s: float = POWER_OFF_DEADLINE_S, deadline_s: float = REQUEST_DEADLINE_S
    ) -> None:
        """Ask the guest to power off; its programs have `power_off_s` to end. Returns once it has agreed."""
        await self._ask(Request.SHUTDOWN, protocol.encode_deadline(power_off_s), Nothing, deadline_s)

    async def _ask(self, kind: Request, body: bytes, answer: type[AnswerT], deadline_s: float) -> AnswerT:
        request = next(self._requests)
        self._answers[request] = None
        try:
            with _deadline(deadline_s, f"the guest agent does not answer {kind.name.lower()}"):
                await self._send(Frame(kind, request, body))
                frame = await self._wait_answer(request)
        finally:
            del self._answers[request]
        if frame.type == protocol.ERROR_TYPE:
            refusal = protocol.decode_answer(frame.body, Refusal)
            raise AgentRefusalError(refusal.code, f"guest agent: {refusal.message}", hint=_HINT)
        if frame.type != kind | protocol.REPLY_BIT:
            raise GuestError(f"guest agent: it answers {kind.name.lower()} with a frame of type {frame.type}")
        return protocol.decode_answer(frame.body, answer)

    async def _wait_answer(self, request: int) -> Frame:
        """Read, for all who wait, until this request is answered."""
        while True:
            async with self._receiving:
                frame = self._answers[request]
                if frame is not None:
                    return frame
                async for came in self._receive():
                    if came.request in self._answers:
                        self._answers[came.request] = came

    async def _receive_welcome(self, nonce: bytes) -> Welcome | None:
        async for frame in self._receive():
            if frame.type != Request.HELLO | protocol.REPLY_BIT:
                continue
            welcome = protocol.decode_answer(frame.body, Welcome)
            if welcome.nonce == nonce.hex():
                return welcome
        return None

    async def _receive(self) -> AsyncIterator[Frame]:
        """Read once; yield the frames that came whole."""
        try:
            chunk = await self._stream.receive(_CHUNK_BYTES)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise GuestError("the guest's VMM closed the connection to the guest agent", hint=_HINT) from error
        self._unasked_bytes += len(chunk)
        if self._unasked_bytes > _UNASKED_LARGEST_BYTES:
            raise GuestError(f"guest agent: it sent {self._unasked_bytes} bytes that are no answer")
        for frame in list(self._decoder.feed(chunk)):
            if frame.request in self._answers:
                self._unasked_bytes = 0
            yield frame

    async def _send(self, frame: Frame) -> None:
        data = encode_frame(frame)
        async with self._sending:
            # Whatever was cut short before us, a delimiter ends it.
            if self._torn:
                data = DELIMITER + data
            self._torn = True
            try:
                await self._stream.send(data)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                raise GuestError("the guest's VMM closed the connection to the guest agent", hint=_HINT) from error
            self._torn = False


@contextlib.contextmanager
def _deadline(deadline_s: float, what: str) -> Iterator[None]:
    try:
        with anyio.fail_after(deadline_s):
            yield
    except TimeoutError as error:
        raise DeadlineError(f"{what} after {deadline_s:g} s", hint=_HINT) from error


async def _connect(path: Path) -> anyio.abc.SocketStream:
    """Connect as soon as the VMM listens. Through the directory's descriptor: a socket's path has 107 bytes at most."""
    while True:
        try:
            directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                return await anyio.connect_unix(f"/proc/self/fd/{directory}/{path.name}")
            finally:
                os.close(directory)
        except (FileNotFoundError, ConnectionRefusedError):
            await anyio.sleep(_CONNECT_RETRY_S)
