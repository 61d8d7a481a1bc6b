"""Ports and addresses on the loopback interface: for VMMs to listen on, and for VMs to be reached at."""

import errno
import hashlib
import socket
from collections.abc import Collection
from typing import Final

from banger.model.vm import Forward

_NET: Final = 127 << 24 | 64 << 16
"""127.64.0.0: programs that take loopback addresses for themselves take them from the beginning of 127.0.0.0/8."""
_HOSTS: Final = 1 << 22
"""To 127.127.255.255."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port of an address that nobody has now; somebody may take it before it is used."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def can_listen(forward: Forward) -> bool:
    """Whether its host side could be bound now. False if it is in use, or not allowed to us, or no address of ours."""
    kind = socket.SOCK_DGRAM if forward.protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if forward.protocol == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as QEMU does
        try:
            probe.bind((forward.host, forward.host_port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL, errno.EPERM}:
                return False
            raise
    return True


def loopback_address(vm: str, taken: Collection[str]) -> str:
    """Return a VM's own address in 127.64.0.0/10: the same each time it runs, unless another VM has it meanwhile."""
    first = int.from_bytes(hashlib.sha256(vm.encode()).digest()[:4], "big") % _HOSTS
    for step in range(_HOSTS):
        number = (first + step) % _HOSTS
        address = ".".join(str((_NET | number) >> shift & 0xFF) for shift in (24, 16, 8, 0))
        if number & 0xFF not in {0, 0xFF} and address not in taken:
            return address
    raise AssertionError("four million VMs run")
