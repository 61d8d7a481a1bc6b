"""A command to run in a guest, and the stream in which command line and daemon speak of it while it runs.

The stream is the body of one HTTP request and of its answer, both open until the command has ended: messages of a type
(8 bits), a length (32 bits, big-endian) and that many bytes. The request's first message is START.

Input flows on credit, so that a signal never waits behind input that nobody reads: the daemon says ROOM, and only so
many bytes of STDIN may follow. Output needs none: a reader that stops reading stops the socket, and that the guest.
"""

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

_HEADER = struct.Struct(">BI")
MESSAGE_LARGEST_BYTES = 256 * 1024


class Message(enum.IntEnum):
    """From the command line: START to KILL. From the daemon: ROOM to ERROR."""

    START = 1
    """ExecRequest as JSON."""
    STDIN = 2
    """Bytes; none: the end of input."""
    SIGNAL = 3
    """The number of a signal, in 8 bits."""
    RESIZE = 4
    """Rows and columns, 16 bits each."""
    ROOM = 16
    """32 bits: so many more bytes of STDIN may be sent."""
    STDOUT = 17
    STDERR = 18
    EXIT = 19
    """The exit status, 8 bits: 128 + n for the end by a signal. The last message."""
    ERROR = 20
    """JSON with code, message and hint. The last message."""


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """Rows and columns of a terminal."""

    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """A command: its words as they are, no shell. `terminal` None: pipes. `cwd` None: the home directory."""

    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    cwd: str | None = None
    terminal: TerminalSize | None = None


def pack_message(kind: Message, data: bytes = b"") -> bytes:
    """Return a message as it is sent."""
    return _HEADER.pack(kind, len(data)) + data


class MessageReader:
    """Find the messages in a stream. Holds at most one that is unfinished."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take what came; yield type and content of each message it completes. Raises ValueError for one too long."""
        self._pending += data
        at = 0
        while len(self._pending) - at >= _HEADER.size:
            kind, size = _HEADER.unpack_from(self._pending, at)
            if size > MESSAGE_LARGEST_BYTES:
                raise ValueError(f"a message of {size} bytes")
            end = at + _HEADER.size + size
            if len(self._pending) < end:
                break
            yield kind, bytes(self._pending[at + _HEADER.size : end])
            at = end
        del self._pending[:at]
