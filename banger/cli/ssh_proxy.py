"""`banger ssh-proxy`: what ssh runs for a host called NAME.vm. Not for people, so it is not in the help.

`connect` joins stdin and stdout to the VM's SSH; `key` prints the VM's host key as a line of known_hosts.
"""

import os
import select
import socket
from pathlib import Path

import click

from banger.cli.client import vm_path
from banger.cli.decode import decode
from banger.cli.ssh import endpoint_of
from banger.cli.start_daemon import daemon
from banger.model.errors import GuestError, HostError
from banger.model.vm import SshEndpoint, VmView

SUFFIX = ".vm"
_READ_BYTES = 65536
_CONNECT_S = 20.0


@click.command("ssh-proxy", hidden=True)
@click.argument("what", type=click.Choice(["connect", "key"]))
@click.argument("host")
def command(*, what: str, host: str) -> None:
    """Serve ssh."""
    with daemon() as client:
        vm = decode(VmView, client.get(vm_path(host.removesuffix(SUFFIX))))
    endpoint = endpoint_of(vm)
    if what == "key":
        print(known_host(endpoint, host), end="")
    else:
        connect(endpoint)


def known_host(endpoint: SshEndpoint, host: str) -> str:
    """The VM's key under the name that ssh was given. Raises HostError."""
    try:
        line = Path(endpoint.known_hosts_file).read_text(encoding="ascii")
    except OSError as error:
        raise HostError(f"{endpoint.known_hosts_file}: {error.strerror}") from error
    return host + line.removeprefix(endpoint.host_key_alias)


def connect(endpoint: SshEndpoint) -> None:
    """Carry bytes both ways until the VM's end is closed."""
    try:
        with socket.create_connection((endpoint.host, endpoint.port), _CONNECT_S) as connection:
            connection.settimeout(None)
            _carry(connection)
    except OSError as error:
        raise GuestError(f"the VM's SSH cannot be reached: {error.strerror or error}") from error


def _carry(connection: socket.socket) -> None:
    sources = [0, connection.fileno()]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if connection.fileno() in ready:
            data = connection.recv(_READ_BYTES)
            if not data:
                return
            _write_all(data)
        if 0 in ready:
            data = os.read(0, _READ_BYTES)
            if data:
                connection.sendall(data)
            else:
                sources.remove(0)
                connection.shutdown(socket.SHUT_WR)


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
