"""Connections that a `Watch` keeps an eye on, for urllib3.

urllib3 does HTTP, TLS and proxies; here it gets sockets whose waits are cut into ticks. A plain time-out of a socket
starts anew with every byte, and so says nothing about a server that sends one byte in time, for ever.
"""

import errno
import io
import select
import socket
from contextlib import suppress
from typing import Any, cast

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from banger.oci.watch import Watch

_BUFFER_BYTES = 256 * 1024


class WatchedSocket:
    """As much of a socket as http.client and urllib3 use. As a socket, it stays open until its last file is closed."""

    def __init__(self, inner: socket.socket, watch: Watch) -> None:
        self._inner = inner
        self._watch = watch
        self._users = 1
        self._closed = False

    def sendall(self, data: bytes) -> None:
        """Send a request: small, so that one time-out for all of it does."""
        self._inner.settimeout(self._watch.patience.connect_s)
        self._inner.sendall(data)

    def recv_into(self, buffer: memoryview) -> int:
        """Wait for bytes as long as the watch allows."""
        watch, clock = self._watch, self._watch.clock
        self._inner.settimeout(watch.patience.tick_s)
        while True:
            began = clock.monotonic()
            try:
                count = self._inner.recv_into(buffer)
            except TimeoutError:
                watch.arrived(0, clock.monotonic() - began)
                continue
            watch.arrived(count, clock.monotonic() - began)
            return count

    def makefile(self, mode: str = "rb", buffering: int = -1, **_text: object) -> io.BufferedReader:
        """A reader of what arrives, which keeps the socket open."""
        assert mode == "rb"
        self._users += 1
        return io.BufferedReader(_Reader(self), _BUFFER_BYTES if buffering < 0 else max(1, buffering))

    def close(self) -> None:
        """Close the socket's own name; readers stay usable."""
        if not self._closed:
            self._closed = True
            self.release()

    def release(self) -> None:
        """One user less; the last one closes the connection."""
        self._users -= 1
        if self._users == 0:
            self._inner.close()

    def fileno(self) -> int:
        """The descriptor, for a look whether the server has hung up."""
        return self._inner.fileno()

    def settimeout(self, value: float | None) -> None:
        """Do nothing: the watch decides."""

    def shutdown(self, how: int) -> None:
        """End both directions, or one."""
        with suppress(OSError):
            self._inner.shutdown(how)


class _Reader(io.RawIOBase):
    def __init__(self, owner: WatchedSocket) -> None:
        super().__init__()
        self._owner: WatchedSocket | None = owner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - collections.abc.Buffer comes with Python 3.12
        if self._owner is None:
            raise ValueError("read of a closed connection")
        return self._owner.recv_into(memoryview(buffer))

    def readall(self) -> bytes:
        # What http.client does for a chunk of size -1; nobody of ours reads to an end that a stranger chooses.
        raise OSError(errno.EPROTO, "a chunk of a negative size")

    def close(self) -> None:
        if self._owner is not None:
            self._owner.release()
            self._owner = None
        super().close()


def connection_pools(watch: Watch) -> tuple[type[HTTPConnectionPool], type[HTTPSConnectionPool]]:
    """Make pools whose connections the watch sees: urllib3 takes classes, so that each transport has its own."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return dial(self._dns_host, self.port, watch)

        def connect(self) -> None:
            super().connect()
            self.sock = cast("socket.socket", WatchedSocket(self.sock, watch))

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return dial(self._dns_host, self.port or 443, watch)

        def connect(self) -> None:
            super().connect()
            self.sock = cast("socket.socket", WatchedSocket(self.sock, watch))

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain  # pyright: ignore[reportAssignmentType]

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure  # pyright: ignore[reportAssignmentType]

    return PlainPool, SecurePool


def dial(host: str, port: int, watch: Watch) -> socket.socket:
    """Connect to the first address that answers. Raises OSError and StoppedError.

    The look-up of the name cannot be stopped from here; the resolver has its own limits.
    """
    watch.stop.check()
    last: OSError = OSError(f"no address for {host}")
    for family, kind, protocol, _name, address in socket.getaddrinfo(host.strip("[]"), port, 0, socket.SOCK_STREAM):
        inner = socket.socket(family, kind, protocol)
        try:
            _connect(inner, address, watch)
        except OSError as error:
            inner.close()
            last = error
        except BaseException:
            inner.close()
            raise
        else:
            inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # The time-out of the TLS handshake, which urllib3 does next.
            inner.settimeout(watch.patience.connect_s)
            return inner
    raise last


def _connect(inner: socket.socket, address: Any, watch: Watch) -> None:  # noqa: ANN401 - differs by address family
    inner.setblocking(False)
    with suppress(BlockingIOError):
        inner.connect(address)
    poll = select.poll()
    poll.register(inner, select.POLLOUT)
    deadline = watch.clock.monotonic() + watch.patience.connect_s
    while not poll.poll(watch.patience.tick_s * 1000):
        watch.stop.check()
        if watch.clock.monotonic() >= deadline:
            raise TimeoutError(f"no connection after {watch.patience.connect_s:g} s")
    if code := inner.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(code, f"cannot connect to port {address[1]}")
