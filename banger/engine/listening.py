"""Make what listens in a guest reachable from this host, and see which of it serves web pages."""

import ipaddress
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio

from banger.guest.protocol import Listener
from banger.host.web import web_protocol
from banger.model.errors import BangerError, ConflictError
from banger.model.verbs import PortView
from banger.model.vm import Forward
from banger.vm.forwarding import add_forward, list_forwards
from banger.vm.ports import free_port

_AT_ONCE: Final = 16
_SSH: Final = 22
"""What speaks SSH is not asked for web pages: it would only fill its log."""


async def reachable(vm_dir: Path, listeners: Iterable[Listener], address: str | None) -> list[PortView]:
    """Return each port once, in order. One that is not forwarded yet is, at `address` and under its own number.

    Where that number cannot be had there, as one below 1024 without privilege, another is taken.
    """
    found = list(listeners)
    outside = sorted({one.port for one in found if not _is_inner(one.address)})
    endpoints = await _endpoints(vm_dir, outside, address)
    return rows(found, endpoints, await _protocols(endpoints))


def rows(
    listeners: Iterable[Listener], endpoints: Mapping[int, tuple[str, int]], protocols: Mapping[int, str]
) -> list[PortView]:
    """Say of each port once where it is reached; what listens on all of IPv4 and all of IPv6 is one."""
    views: dict[tuple[str, str], PortView] = {}
    for one in sorted(listeners, key=lambda one: (one.port, _is_inner(one.address), one.address, one.pid)):
        at = None if _is_inner(one.address) else endpoints.get(one.port)
        protocol = protocols.get(one.port, "tcp") if at else "tcp"
        endpoint = _written(protocol, at)
        note = None if at else f"only inside the VM, at {_bracketed(one.address)}:{one.port}"
        view = PortView(protocol, endpoint, one.port, one.process, one.command, note)
        views.setdefault((protocol, endpoint or note or ""), view)
    return list(views.values())


async def _endpoints(vm_dir: Path, ports: list[int], address: str | None) -> dict[int, tuple[str, int]]:
    """Where each port of the guest can be reached; forwards what is not."""
    if address and not ipaddress.ip_address(address).is_loopback:
        return {port: (address, port) for port in ports}  # a VM on a bridge is where it is: nothing is to be forwarded
    found: dict[int, tuple[str, int]] = {}
    present = await list_forwards(vm_dir)
    for one in sorted(present, key=lambda one: one.host != address):
        if one.protocol == "tcp":
            found.setdefault(one.guest_port, (one.host, one.host_port))
    for port in ports if address else []:
        if port not in found:
            at = await _forward(vm_dir, port, address or "")
            if at is not None:
                found[port] = at
    return found


async def _forward(vm_dir: Path, port: int, address: str) -> tuple[str, int] | None:
    with suppress(ConflictError):
        await add_forward(vm_dir, Forward(port, port, address))
        return address, port
    with suppress(BangerError, OSError):
        other = free_port(address)
        await add_forward(vm_dir, Forward(other, port, address))
        return address, other
    return None


async def _protocols(endpoints: dict[int, tuple[str, int]]) -> dict[int, str]:
    found: dict[int, str] = {}
    limit = anyio.CapacityLimiter(_AT_ONCE)

    async def look(port: int, host: str, host_port: int) -> None:
        async with limit:
            found[port] = await web_protocol(host, host_port) or "tcp"

    async with anyio.create_task_group() as group:
        for port, (host, host_port) in endpoints.items():
            if port == _SSH:
                continue
            group.start_soon(look, port, host, host_port)
    return found


def _is_inner(address: str) -> bool:
    """Whether only the guest itself reaches what listens there."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True


def _written(protocol: str, at: tuple[str, int] | None) -> str | None:
    if at is None:
        return None
    host, port = at
    if (protocol, port) in {("http", 80), ("https", 443)}:
        return f"{protocol}://{host}/"
    return f"{protocol}://{host}:{port}/" if protocol != "tcp" else f"{host}:{port}"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
