"""A command that runs in a guest, as an HTTP exchange: two streams of messages (banger.model.exec), open until its end.

The client that goes away, however it goes, takes its command with it. Nothing is gathered here: what the guest sends
waits in its session until the client's socket takes it, and input is taken only as far as the guest has room for it.
"""

import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import anyio
import anyio.abc
from pydantic import ValidationError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from banger.daemon.failures import Failure, describe
from banger.daemon.schema import ExecBody
from banger.guest.exec_session import ExecSession, Exit, Output
from banger.model.errors import BangerError, DaemonError, SpecError
from banger.model.exec import ExecRequest, Message, MessageReader, TerminalSize, pack_message

_PIECE_BYTES = 65536
Start = Callable[[ExecRequest], Awaitable[ExecSession]]


class ClientGoneError(Exception):
    """The client has closed its connection."""


class Executions:
    """The commands that run now; a daemon that stops ends them."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()

    def __len__(self) -> int:
        return len(self._scopes)

    @contextmanager
    def running(self) -> Iterator[anyio.CancelScope]:
        """Count one, and let `stop` end it."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)

    def stop(self) -> None:
        """End them all."""
        for scope in self._scopes:
            scope.cancel()


class ExecResponse(Response):
    """Runs one command. What goes wrong before it has started is answered as any error is; later, as a message."""

    media_type = "application/vnd.banger.exec"

    def __init__(self, start: Start, executions: Executions) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._start = start
        self._executions = executions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        messages = _messages(receive)
        try:
            request = await _first(messages)
        except ClientGoneError:
            return
        async with await self._start(request) as session:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await _send_body(send, pack_message(Message.ROOM, struct.pack(">I", session.room_bytes)))
            last = _message_of(describe(DaemonError("the daemon was stopped"), "exec"))
            with self._executions.running():
                last = await _converse(session, messages, send)
        with anyio.CancelScope(shield=True):
            await send({"type": "http.response.body", "body": last, "more_body": False})


async def _converse(session: ExecSession, messages: AsyncIterator[tuple[int, bytes]], send: Send) -> bytes:
    """Carry messages both ways; return the last one for the client."""
    last = b""

    async def end_with(work: Callable[[], Awaitable[bytes]], group: anyio.abc.TaskGroup) -> None:
        nonlocal last
        try:
            last = await work()
        except (BangerError, ValueError) as error:
            failure = error if isinstance(error, BangerError) else SpecError(f"refused message: {error}")
            last = _message_of(describe(failure, "exec"))
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(end_with, lambda: _up(session, messages), group)
        group.start_soon(end_with, lambda: _down(session, send), group)
    return last


async def _down(session: ExecSession, send: Send) -> bytes:
    while True:
        happening = await session.receive()
        if isinstance(happening, Exit):
            return pack_message(Message.EXIT, bytes([happening.status]))
        if isinstance(happening, Output):
            kind = Message.STDERR if happening.is_error else Message.STDOUT
            for at in range(0, len(happening.data), _PIECE_BYTES):
                await _send_body(send, pack_message(kind, happening.data[at : at + _PIECE_BYTES]))
        else:
            await _send_body(send, pack_message(Message.ROOM, struct.pack(">I", happening.size)))


async def _up(session: ExecSession, messages: AsyncIterator[tuple[int, bytes]]) -> bytes:
    try:
        async for kind, data in messages:
            await _act(session, kind, data)
    except ClientGoneError:
        pass
    return b""


async def _act(session: ExecSession, kind: int, data: bytes) -> None:
    """Do what the client says. Raises SpecError for what it may not say."""
    if kind == Message.STDIN and not data:
        await session.send_eof()
    elif kind == Message.STDIN and len(data) <= session.room_bytes:
        await session.send(data)
    elif kind == Message.SIGNAL and len(data) == 1:
        await session.signal(data[0])
    elif kind == Message.RESIZE and len(data) == struct.calcsize(">HH"):
        await session.resize(TerminalSize(*struct.unpack(">HH", data)))
    else:
        raise SpecError(f"refused message of type {kind} and {len(data)} bytes")


async def _first(messages: AsyncIterator[tuple[int, bytes]]) -> ExecRequest:
    try:
        kind, data = await anext(messages)
        if kind != Message.START:
            raise SpecError("a stream begins with START")
        return ExecBody.model_validate_json(data).request()
    except ValidationError as error:
        problem = error.errors()[0]
        raise SpecError(f"refused command: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from error
    except ValueError as error:
        raise SpecError(f"refused command: {error}") from error


async def _messages(receive: Receive) -> AsyncIterator[tuple[int, bytes]]:
    """Yield the client's messages. Raises ClientGoneError at their end, and ValueError for what is none."""
    reader = MessageReader()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        for found in reader.feed(message.get("body", b"")):
            yield found


async def _send_body(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


def _message_of(failure: Failure) -> bytes:
    body = asdict(failure)
    del body["others"]
    return pack_message(Message.ERROR, json.dumps(body).encode())
