"""Ports of this host that QEMU forwards to its guest: added to and taken from one that runs.

QEMU's user network (libslirp) has them; its monitor is told in words, as QMP has no command for it: `hostfwd_add`,
`hostfwd_remove` and `info usernet` of the human monitor (QEMU docs, "QEMU Monitor"). What is put into those words is an
address, a number or one of two names, checked here.
"""

import ipaddress
import re
from pathlib import Path
from typing import Final, Literal

from banger.host.qmp import connect_qmp
from banger.model.errors import ConflictError, HostError, NotFoundError, SpecError
from banger.model.vm import Forward
from banger.vm import MONITOR_SOCKET, NETDEV

PORTS: Final = (1, 65535)
_LISTED = re.compile(r"^\s*(TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+\S+\s+(\d+)\s", re.MULTILINE)
_ANY = "0.0.0.0"  # noqa: S104 - how the monitor's "*" is written; nothing is bound here
_LISTED_MOST: Final = 4096


def check_forward(forward: Forward) -> Forward:
    """Return it if it can be. Raises SpecError that names what cannot."""
    try:
        ipaddress.IPv4Address(forward.host)
    except ValueError:
        raise SpecError(f"{forward.host[:80]!r} is not an IPv4 address of this host") from None
    for port in (forward.host_port, forward.guest_port):
        if not PORTS[0] <= port <= PORTS[1]:
            raise SpecError(f"port {port} is out of range: {PORTS[0]} to {PORTS[1]}")
    return forward


async def add_forward(vm_dir: Path, forward: Forward) -> None:
    """Have QEMU listen. Raises ConflictError if it cannot have the port, HostError for what else it says."""
    check_forward(forward)
    said = await _tell(vm_dir, f"hostfwd_add {NETDEV} {_host_side(forward)}-:{forward.guest_port}")
    if not said:
        return
    if "could not set up" in said.lower():
        raise refused(forward)
    raise HostError(f"port {forward.describe()}: QEMU says: {said[:200]}")


def refused(forward: Forward) -> ConflictError:
    """The error for a port that cannot be had."""
    return ConflictError(
        f"port {forward.host_port} of {forward.host} cannot be forwarded: it is in use, or not allowed to this user",
        hint=f"ss -lnp 'sport = :{forward.host_port}', or choose another port",
    )


async def remove_forward(vm_dir: Path, forward: Forward) -> None:
    """Have QEMU listen no longer. Raises NotFoundError if it did not."""
    check_forward(forward)
    said = await _tell(vm_dir, f"hostfwd_remove {NETDEV} {_host_side(forward)}")
    if "removed" not in said:
        raise NotFoundError(f"{forward.host}:{forward.host_port} is not forwarded to the VM")


async def list_forwards(vm_dir: Path) -> list[Forward]:
    """Return what QEMU forwards now, in the order of address and port."""
    said = await _tell(vm_dir, "info usernet")
    found: list[Forward] = []
    for kind, host, host_port, guest_port in _LISTED.findall(said)[:_LISTED_MOST]:
        protocol: Literal["tcp", "udp"] = "udp" if kind == "UDP" else "tcp"
        found.append(Forward(int(host_port), int(guest_port), _ANY if host == "*" else host, protocol))
    return sorted(found, key=lambda one: (one.host, one.host_port, one.protocol))


def _host_side(forward: Forward) -> str:
    return f"{forward.protocol}:{forward.host}:{forward.host_port}"


async def _tell(vm_dir: Path, line: str) -> str:
    async with connect_qmp(vm_dir / MONITOR_SOCKET) as client:
        answer = await client.execute("human-monitor-command", {"command-line": line})
    return answer.strip() if isinstance(answer, str) else ""
