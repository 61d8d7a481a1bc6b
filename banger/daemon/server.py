"""Serve one state directory: uvicorn on the unix socket, only for this user and root, until asked to stop."""

import asyncio
import logging
import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from banger.daemon.address import listen, unlink_socket
from banger.daemon.api import create_app
from banger.daemon.core import Daemon, Settings
from banger.daemon.service import OpenService
from banger.model.paths import StatePaths

HEADER_LIMIT_BYTES = 16 * 1024
_PEER = struct.Struct("3i")  # struct ucred, unix(7): pid, uid, gid
_FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

log = logging.getLogger(__name__)


class PeerCheckedProtocol(H11Protocol):
    """HTTP for this user and root only. The kernel says who the peer was when it connected; nothing it sends can."""

    _refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse a foreign peer before reading a byte of it."""
        assert isinstance(transport, asyncio.Transport)
        uid = peer_uid(transport.get_extra_info("socket"))
        if uid in {0, os.geteuid()}:
            super().connection_made(transport)
            return
        log.warning("peer.refused uid=%d", uid)
        self._refused = True
        transport.write(_FORBIDDEN)
        transport.close()

    def data_received(self, data: bytes) -> None:
        """Ignore what a refused peer says."""
        if not self._refused:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """There is nothing to take down for a refused peer."""
        if not self._refused:
            super().connection_lost(exc)


def peer_uid(connection: socket.socket) -> int:
    """Uid of the process at the other end (SO_PEERCRED)."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return int(_PEER.unpack(raw)[1])


class EventServer(uvicorn.Server):
    """Uvicorn without its signal handlers and its ten wake-ups a second: it serves until an event is set."""

    def __init__(self, config: uvicorn.Config, until: anyio.Event) -> None:
        super().__init__(config)
        self._until = until

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the daemon."""
        yield

    async def main_loop(self) -> None:
        """Wait for the event."""
        await self._until.wait()


async def serve(paths: StatePaths, run_dir: int, open_service: OpenService, settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT, a shutdown request or idleness. The caller holds the daemon lock."""
    async with open_service(paths.root) as service, anyio.create_task_group() as group:
        daemon = Daemon(service, paths, group, settings)
        wound_down = anyio.Event()
        server = EventServer(_config(daemon), wound_down)
        listener = listen(run_dir)
        group.start_soon(_stop_on_signal, daemon)
        group.start_soon(daemon.stop_when_idle)
        group.start_soon(_wind_down, daemon, run_dir, wound_down)
        log.info("daemon.started socket=%s", paths.socket)
        try:
            await server.serve(sockets=[listener])
        finally:
            group.cancel_scope.cancel()
    log.info("daemon.stopped")


async def _stop_on_signal(daemon: Daemon) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("daemon.signalled signal=%s", number.name)
            daemon.shutdown(if_idle=False)


async def _wind_down(daemon: Daemon, run_dir: int, wound_down: anyio.Event) -> None:
    await daemon.stop_requested.wait()
    # The name goes first: a client that comes now starts a new daemon, which waits for the lock.
    unlink_socket(run_dir)
    await daemon.wind_down()
    wound_down.set()


def _config(daemon: Daemon) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(daemon),
        http=PeerCheckedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEADER_LIMIT_BYTES,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=5,
    )
