"""Run a command in a guest with our own data as its input, and its output given to us: nothing of it is gathered."""

import json
import select
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

from banger.cli.chunks import ChunkReader
from banger.cli.client import Client, chunk, remote_error, vm_path
from banger.cli.remote import start_message
from banger.model.errors import DaemonError
from banger.model.exec import ExecRequest, Message, MessageReader, pack_message

_READ_BYTES = 65536
_TO_SEND_MOST_BYTES = 262144
_COMPLAINT_MOST_BYTES = 4000


def run_piped(
    client: Client,
    name: str,
    request: ExecRequest,
    *,
    source: Iterator[bytes] = iter(()),  # noqa: B008 - empty for ever
    sink: Callable[[bytes], None] = lambda _: None,
    errors: Callable[[bytes], None] = lambda _: None,
) -> tuple[int, str]:
    """Run it to its end; return its exit status and the end of what it wrote to stderr.

    `source` is its input, taken as fast as the command reads; `sink` takes its output, `errors` what it writes to
    stderr. What they raise ends the command. Raises the daemon's errors. The client is of no use afterwards.
    """
    return _Pipe(client, vm_path(name, "/exec"), request, source, sink, errors).run()


class _Pipe:
    """The conversation with the daemon about one command."""

    def __init__(
        self,
        client: Client,
        path: str,
        request: ExecRequest,
        source: Iterator[bytes],
        sink: Callable[[bytes], None],
        errors: Callable[[bytes], None],
    ) -> None:
        self._source = source
        self._sink = sink
        self._errors = errors
        self._socket, came = client.duplex(path, pack_message(Message.START, start_message(request)))
        self._chunks = ChunkReader()
        self._messages = MessageReader()
        self._to_send = bytearray()
        self._rest = memoryview(b"")
        self._room = 0
        self._is_over = False
        self._status: int | None = None
        self._complaint = b""
        self._take(came)

    def run(self) -> tuple[int, str]:
        """Carry everything until the command has ended."""
        poll = select.poll()
        while self._status is None:
            self._fill()
            events = select.POLLIN | (select.POLLOUT if self._to_send else 0)
            poll.register(self._socket.fileno(), events)
            poll.poll()
            self._exchange()
        return self._status, self._complaint.decode(errors="replace").strip()

    def _fill(self) -> None:
        """Have input ready to be sent, no more of it than the command has room for."""
        while self._room > 0 and len(self._to_send) < _TO_SEND_MOST_BYTES and not self._is_over:
            if not self._rest:
                self._rest = memoryview(next(self._source, b""))
            if not self._rest:
                self._is_over = True
                self._send(b"")
                return
            size = min(self._room, len(self._rest), _READ_BYTES)
            self._send(bytes(self._rest[:size]))
            self._rest = self._rest[size:]
            self._room -= size

    def _send(self, data: bytes) -> None:
        self._to_send += chunk(pack_message(Message.STDIN, data))

    def _exchange(self) -> None:
        try:
            if self._to_send:
                with suppress(BlockingIOError):
                    del self._to_send[: self._socket.send(self._to_send)]
            came = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            came = b""
        if not came:
            raise DaemonError("the daemon went away while the command ran", hint="banger daemon status")
        self._take(came)

    def _take(self, came: bytes) -> None:
        for kind, data in self._messages.feed(self._chunks.feed(came)):
            if kind == Message.STDOUT:
                self._sink(data)
            elif kind == Message.STDERR:
                self._errors(data)
                self._complaint = (self._complaint + data)[-_COMPLAINT_MOST_BYTES:]
            elif kind == Message.ROOM:
                self._room += int(struct.unpack(">I", data)[0])
            elif kind == Message.EXIT:
                self._status = data[0]
            elif kind == Message.ERROR:
                body = json.loads(data)
                raise remote_error(str(body.get("code")), str(body.get("message")), body.get("hint"))
