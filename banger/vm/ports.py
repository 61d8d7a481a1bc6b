"""Ports on the loopback interface for VMMs to listen on."""

import socket


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody has now; somebody may take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
