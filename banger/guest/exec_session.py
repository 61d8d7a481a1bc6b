"""A program that runs in a guest: its input, its output, its end. Bounded both ways, so that it cannot hold up others.

Output that nobody has taken yet is at most WINDOW_BYTES; input that the program has not read yet is at most what the
agent has room for. Whoever does not keep to it is cut off.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeAlias

import anyio

from banger.guest import protocol
from banger.guest.frames import Frame
from banger.guest.protocol import Credit, Event, ExitStatus, Request, Tag
from banger.model.errors import GuestError
from banger.model.exec import TerminalSize

WINDOW_BYTES = 256 * 1024
INPUT_WINDOW_BYTES = 65536
"""What an agent holds of a program's input: EXEC_INPUT in exec.h."""
CHUNK_BYTES = 32768
SIGNAL_BASE = 128
_TELL_BYTES = WINDOW_BYTES // 4


@dataclass(frozen=True, slots=True)
class Output:
    """What the program wrote."""

    data: bytes
    is_error: bool


@dataclass(frozen=True, slots=True)
class Room:
    """The program has read: so many more bytes of input may be sent."""

    size: int


@dataclass(frozen=True, slots=True)
class Exit:
    """The end. `status` as a shell tells it: 127 not found, 126 not executable, 128 + n ended by signal n."""

    status: int


Happening: TypeAlias = Output | Room | Exit


class Sender(Protocol):
    """What a session needs of its connection."""

    async def send(self, frame: Frame) -> None:
        """Send in turn."""
        ...

    def send_now(self, frame: Frame) -> None:
        """Send without waiting."""
        ...


class ExecSession:
    """One program. Use it in `async with`: whoever leaves before its end has it killed.

    Every method raises GuestError if the guest, its VMM or its agent goes away meanwhile.
    """

    def __init__(self, sender: Sender, number: int, on_close: Callable[[int], None]) -> None:
        self.number = number
        self.room_bytes = INPUT_WINDOW_BYTES
        self._sender = sender
        self._on_close = on_close
        # Not a queue: a guest could fill one with very many very small pieces.
        self._output = {False: bytearray(), True: bytearray()}
        self._new_room = 0
        self._exit: Exit | None = None
        self._window = WINDOW_BYTES
        self._taken = 0
        self._ended = False
        self._failure: GuestError | None = None
        self._changed = anyio.Event()

    async def __aenter__(self) -> Self:
        """Return self."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    async def receive(self) -> Happening:
        """Return what happened next. Output comes whole, before the Exit that follows it."""
        while (happening := self._next()) is None:
            self._check()
            await self._changed.wait()
        return happening

    def _next(self) -> Happening | None:
        for is_error in (True, False):
            if self._output[is_error]:
                data = bytes(self._output[is_error])
                self._output[is_error].clear()
                self._tell_window(len(data))
                return Output(data, is_error)
        if self._new_room and self._exit is None:
            size, self._new_room = self._new_room, 0
            return Room(size)
        return self._exit

    async def send(self, data: bytes) -> None:
        """Give the program input; returns once all of it is on its way. Input after the program's end is lost."""
        at = 0
        while at < len(data) and not self._ended:
            self._check()
            if self.room_bytes == 0:
                await self._changed.wait()
                continue
            chunk = data[at : at + min(self.room_bytes, CHUNK_BYTES)]
            self.room_bytes -= len(chunk)
            at += len(chunk)
            await self._send(Request.EXEC_STDIN, chunk)

    async def send_eof(self) -> None:
        """Say that there is no more input."""
        await self._send(Request.EXEC_STDIN, b"")

    async def signal(self, number: int) -> None:
        """Send a signal to the program's process group, and to the one in the foreground of its terminal."""
        await self._send(Request.EXEC_SIGNAL, protocol.encode_number(Tag.SIGNAL, number))

    async def resize(self, size: TerminalSize) -> None:
        """Give its terminal another size."""
        await self._send(Request.EXEC_RESIZE, protocol.encode_terminal(size))

    def close(self) -> None:
        """Leave; a program that still runs is hung up on (SIGHUP), and killed a second later."""
        if not self._ended and self._failure is None:
            self._ended = True
            with suppress(GuestError):  # then nothing is left to be killed
                self._sender.send_now(Frame(Request.EXEC_KILL, 0, channel=self.number))
        self._on_close(self.number)

    def take(self, frame: Frame) -> None:
        """Take a frame of the agent's. Raises GuestError if it is not what this session may get now."""
        if frame.type in {Event.EXEC_STDOUT, Event.EXEC_STDERR} and not self._ended:
            if len(frame.body) > self._window:
                raise GuestError("guest agent: it sent more output than there is room for")
            self._window -= len(frame.body)
            self._output[frame.type == Event.EXEC_STDERR] += frame.body
        elif frame.type == Event.EXEC_CREDIT and not self._ended:
            self._take_credit(protocol.decode_answer(frame.body, Credit).bytes)
        elif frame.type == Event.EXEC_EXIT and not self._ended:
            status = protocol.decode_answer(frame.body, ExitStatus)
            if (status.code is None) == (status.signal is None):
                raise GuestError("guest agent: a program ended neither with a code nor by a signal, or by both")
            self._ended = True
            code = status.code if status.signal is None else SIGNAL_BASE + status.signal
            self._exit = Exit(min(code or 0, 255))
        else:
            raise GuestError(f"guest agent: a frame of type {frame.type} about a program is not expected now")
        self._wake()

    def fail(self, error: GuestError) -> None:
        """End it: nothing will come any more. What came is still given out."""
        if self._failure is None and not self._ended:
            self._failure = error
        self._wake()

    def _take_credit(self, size: int) -> None:
        if size > INPUT_WINDOW_BYTES - self.room_bytes:
            raise GuestError("guest agent: it has room for more input than it was sent")
        self.room_bytes += size
        self._new_room += size

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _tell_window(self, size: int) -> None:
        self._taken += size
        if self._taken >= _TELL_BYTES and not self._ended and self._failure is None:
            self._window += self._taken
            body = protocol.encode_number(Tag.WINDOW, self._taken)
            self._taken = 0
            self._sender.send_now(Frame(Request.EXEC_WINDOW, 0, body, self.number))

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _send(self, kind: Request, body: bytes) -> None:
        self._check()
        if not self._ended:
            await self._sender.send(Frame(kind, 0, body, self.number))
