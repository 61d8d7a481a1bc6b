"""A TCP port on loopback that leads to a daemon's unix socket, for tools that know no other way."""

import contextlib
import select
import socket
import threading
from collections.abc import Iterator

from banger.daemon.address import connect
from banger.model.paths import StatePaths


@contextlib.contextmanager
def bridged(paths: StatePaths) -> Iterator[str]:
    """The base URL of the daemon, for the length of a block."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_accept, args=(server, paths), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _accept(server: socket.socket, paths: StatePaths) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _address = server.accept()
            threading.Thread(target=_join, args=(client, paths), daemon=True).start()


def _join(client: socket.socket, paths: StatePaths) -> None:
    """Pass bytes both ways until one side has ended."""
    with client, contextlib.suppress(OSError), connect(paths, 5.0) or contextlib.nullcontext() as daemon:
        while daemon is not None:
            ready, _, _ = select.select([client, daemon], [], [], 60)
            for source in ready:
                data = source.recv(65536)
                (daemon if source is client else client).sendall(data)
                if not data:
                    return
            if not ready:
                return
