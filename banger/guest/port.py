"""A connection to the socket that a VMM ties to its guest's virtio-serial port: frames in, frames out.

What comes is handed on at once and never held back, so that a guest which waits to be read never stops reading us. It
is bounded all the same: by answers that were asked for, and by the windows of streams.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Self

import anyio

from banger.guest.frames import DELIMITER, Frame, FrameDecoder, encode_frame
from banger.model.errors import GuestError

_CONNECT_RETRY_S = 0.02
HINT = "banger vm logs <vm>"


class Port(asyncio.Protocol):
    """Calls `on_frames` with the frames and the number of bytes of each arrival, and `on_end` once at the end."""

    def __init__(self) -> None:
        self.on_frames: Callable[[list[Frame], int], None] = lambda _frames, _size: None
        self.on_end: Callable[[], None] = lambda: None
        self.closed = False
        self._decoder = FrameDecoder()
        # Whatever was cut short before us, a delimiter ends it.
        self._first = DELIMITER
        self._transport: asyncio.Transport | None = None
        self._writable = anyio.Event()
        self._writable.set()
        self._sending = anyio.Lock()

    @classmethod
    async def connect(cls, path: Path) -> Self:
        """Connect as soon as the VMM listens. By the directory's descriptor: a socket's path has 107 bytes at most."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    _, port = await loop.create_unix_connection(cls, f"/proc/self/fd/{directory}/{path.name}")
                    return port
                finally:
                    os.close(directory)
            except (FileNotFoundError, ConnectionRefusedError):
                await anyio.sleep(_CONNECT_RETRY_S)

    @classmethod
    async def from_socket(cls, connected: socket.socket) -> Self:
        """Take over a connected unix socket."""
        connected.setblocking(False)
        _, port = await asyncio.get_running_loop().create_unix_connection(cls, sock=connected)
        return port

    async def send(self, frame: Frame) -> None:
        """Send a frame; waits, in turn, while the VMM does not take what was sent before. Raises GuestError."""
        async with self._sending:
            await self._writable.wait()
            self.send_now(frame)

    def send_now(self, frame: Frame) -> None:
        """Send a small frame without waiting, for what must not wait and cannot be much. Raises GuestError."""
        if self.closed or self._transport is None:
            raise GuestError("the guest's VMM closed the connection to the guest agent", hint=HINT)
        self._transport.write(self._first + encode_frame(frame))
        self._first = b""

    def close(self) -> None:
        """Close the connection at once, whatever was not sent yet."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand on what came."""
        self.on_frames(list(self._decoder.feed(data)), len(data))

    def pause_writing(self) -> None:
        """Hold back who wants to send."""
        self._writable = anyio.Event()

    def resume_writing(self) -> None:
        """Let them go on."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that it has ended."""
        self.closed = True
        self._writable.set()
        self.on_end()
