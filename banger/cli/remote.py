"""Run a command in a guest in our place: our input, output, signals and terminal become its own.

Nothing here blocks but the one poll: so a signal passes while output waits for a slow reader, and output while nobody
types.
"""

import json
import os
import select
import signal
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from types import FrameType

from banger.cli.chunks import ChunkReader
from banger.cli.client import Client, chunk, remote_error, vm_path
from banger.model.errors import DaemonError, SpecError
from banger.model.exec import ExecRequest, Message, MessageReader, TerminalSize, pack_message

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH)
_READ_BYTES = 65536
_HELD_LARGEST_BYTES = 262144
# What poll(2) promises of a pipe, and of a terminal, when it says that it can be written to.
_ATOMIC_BYTES = 4096
_DEFAULT_SIZE = (80, 24)
_BROKEN_PIPE = 128 + signal.SIGPIPE


def run_remote(client: Client, name: str, request: ExecRequest, *, terminal: bool, no_stdin: bool = False) -> int:
    """Run it and return its exit status. Raises the daemon's errors."""
    if terminal:
        term = {"TERM": os.environ["TERM"]} if "TERM" in os.environ else {}
        request = replace(request, env={**term, **request.env}, terminal=_terminal_size())
    with _signals() as (wake_up, caught):
        stream = _Stream(client, vm_path(name, "/exec"), request)
        if no_stdin:
            stream.end_input()
        with _raw_terminal(wanted=terminal and not no_stdin):
            return stream.run(wake_up, caught)


class _Stream:
    """The conversation with the daemon about one command."""

    def __init__(self, client: Client, path: str, request: ExecRequest) -> None:
        self._socket, came = client.duplex(path, pack_message(Message.START, start_message(request)))
        self._chunks = ChunkReader()
        self._messages = MessageReader()
        self._to_send = bytearray()
        self._to_write = {1: bytearray(), 2: bytearray()}
        self._atomic = {descriptor: not _is_file(descriptor) for descriptor in (1, 2)}
        self._room = 0
        self._reading = True
        self._has_terminal = request.terminal is not None
        self._status: int | None = None
        self._take(came)

    def run(self, wake_up: int, caught: list[int]) -> int:
        """Carry everything until the command has ended and all its output is written."""
        while self._status is None or any(self._to_write.values()):
            ready = self._wait(wake_up)
            if wake_up in ready:
                with suppress(BlockingIOError):
                    os.read(wake_up, 512)
            while caught:
                self._pass_on(caught.pop(0))
            for descriptor in (1, 2):
                if descriptor in ready and self._to_write[descriptor]:
                    self._write(descriptor)
            if 0 in ready and self._reading:
                self._read_input()
            if self._socket.fileno() in ready and self._status is None:
                self._exchange()
        return self._status

    def end_input(self) -> None:
        """There is none, or no more."""
        if self._reading:
            self._reading = False
            self._send(Message.STDIN)

    def _wait(self, wake_up: int) -> set[int]:
        poll = select.poll()
        poll.register(wake_up, select.POLLIN)
        for descriptor, data in self._to_write.items():
            if data:
                poll.register(descriptor, select.POLLOUT)
        if self._reading and self._room > 0:
            poll.register(0, select.POLLIN)
        if self._status is None:
            events = select.POLLOUT if self._to_send else 0
            if self._takes_more():
                events |= select.POLLIN
            poll.register(self._socket.fileno(), events)
        return {descriptor for descriptor, _ in poll.poll()}

    def _pass_on(self, number: int) -> None:
        if number == signal.SIGWINCH:
            if self._has_terminal:
                size = _terminal_size()
                self._send(Message.RESIZE, struct.pack(">HH", size.rows, size.columns))
        else:
            self._send(Message.SIGNAL, bytes([number]))

    def _read_input(self) -> None:
        try:
            data = os.read(0, min(self._room, _READ_BYTES))
        except BlockingIOError:
            return
        except OSError:  # closed, or a terminal that has hung up
            data = b""
        if not data:
            self.end_input()
            return
        self._room -= len(data)
        self._send(Message.STDIN, data)

    def _write(self, descriptor: int) -> None:
        data = self._to_write[descriptor]
        most = _ATOMIC_BYTES if self._atomic[descriptor] else len(data)
        try:
            del data[: os.write(descriptor, data[:most])]
        except BlockingIOError:
            return
        except BrokenPipeError:  # our reader has left: so do we, as any program does that does not ask
            self._status = _BROKEN_PIPE
            for waiting in self._to_write.values():
                waiting.clear()

    def _send(self, kind: Message, data: bytes = b"") -> None:
        self._to_send += chunk(pack_message(kind, data))

    def _exchange(self) -> None:
        """Send and receive what can be, without waiting."""
        try:
            if self._to_send:
                with suppress(BlockingIOError):
                    del self._to_send[: self._socket.send(self._to_send)]
            came = self._socket.recv(_READ_BYTES) if self._takes_more() else None
        except BlockingIOError:
            return
        except OSError:
            came = b""
        if came is None:
            return
        if not came:
            raise DaemonError("the daemon went away while the command ran", hint="banger daemon status")
        self._take(came)

    def _takes_more(self) -> bool:
        """Whether output may come; not while much of it waits for who reads ours."""
        return sum(map(len, self._to_write.values())) < _HELD_LARGEST_BYTES

    def _take(self, came: bytes) -> None:
        try:
            for kind, data in self._messages.feed(self._chunks.feed(came)):
                self._handle(kind, data)
        except (ValueError, struct.error, IndexError) as error:
            raise DaemonError(f"the daemon's answer is not understood: {error}") from error

    def _handle(self, kind: int, data: bytes) -> None:
        if kind in {Message.STDOUT, Message.STDERR}:
            self._to_write[1 if kind == Message.STDOUT else 2] += data
        elif kind == Message.ROOM:
            self._room += int(struct.unpack(">I", data)[0])
        elif kind == Message.EXIT:
            self._status = data[0]
        elif kind == Message.ERROR:
            body = json.loads(data)
            raise remote_error(str(body.get("code")), str(body.get("message")), body.get("hint"))


def start_message(request: ExecRequest) -> bytes:
    """START as JSON: each byte of a word is a character, since a word need not be UTF-8."""

    def text(word: str) -> str:
        return os.fsencode(word).decode("latin-1")

    body = asdict(request)
    body["argv"] = [text(word) for word in request.argv]
    body["env"] = {text(name): text(value) for name, value in request.env.items()}
    body["cwd"] = None if request.cwd is None else text(request.cwd)
    data = json.dumps(body).encode()
    if len(data) > _HELD_LARGEST_BYTES:
        raise SpecError(f"the command is too long: {len(data)} bytes")
    return data


def _terminal_size() -> TerminalSize:
    for descriptor in (1, 0, 2):
        with suppress(OSError):
            columns, rows = os.get_terminal_size(descriptor)
            return TerminalSize(rows, columns)
    columns, rows = _DEFAULT_SIZE
    return TerminalSize(rows, columns)


def _is_file(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False


@contextmanager
def _signals() -> Iterator[tuple[int, list[int]]]:
    """Collect signals instead of dying of them; yield a descriptor to wait on, and the list they come into."""
    caught: list[int] = []
    wake_up, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def note(number: int, _frame: FrameType | None) -> None:
        caught.append(number)

    before = {number: signal.signal(number, note) for number in PASSED_ON}
    previous = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    try:
        yield wake_up, caught
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(wake_up)
        os.close(write_end)


@contextmanager
def _raw_terminal(*, wanted: bool) -> Iterator[None]:
    """Have our terminal pass every key on, and be as it was at the end."""
    restore = _make_raw() if wanted and os.isatty(0) else None
    try:
        yield
    finally:
        if restore:
            restore()


def _make_raw() -> Callable[[], None]:
    import termios
    import tty

    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)
    return lambda: termios.tcsetattr(0, termios.TCSADRAIN, before)
