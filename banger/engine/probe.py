"""`banger doctor --deep`: a real VM that boots, writes, resolves and reaches out, and is gone afterwards.

What this machine itself cannot do is no fault of a guest's network: each of these checks is made here, too.
"""

import os
import socket
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from banger.debian.mirror import SETTING, find_archives
from banger.engine.observe import Emit
from banger.guest.exec_session import ExecSession, Exit, Output
from banger.host.process import run
from banger.model.clock import Clock
from banger.model.errors import BangerError
from banger.model.exec import ExecRequest
from banger.model.limits import DISK_BYTES
from banger.model.views import CheckView
from banger.model.vm import Sizes, VmRequest, VmView

_SIZES = Sizes(vcpus=1, memory_mib=256, disk_bytes=DISK_BYTES[0])
_COMMAND_S = 30.0
_CONNECT_S = 10.0
_DELETE_S = 60.0
_OUTPUT_CHARS = 200
_PORTS = {"https": 443, "http": 80}


class Vms(Protocol):
    """As much of the service as a probe needs."""

    async def create_vm(self, request: VmRequest, emit: Emit) -> VmView:
        """Make a VM."""
        ...

    async def exec_vm(self, ref: str, request: ExecRequest) -> ExecSession:
        """Run a command in it."""
        ...

    async def delete_vm(self, ref: str, emit: Emit) -> None:
        """Remove it."""
        ...


@dataclass(frozen=True, slots=True)
class _Target:
    """A server that is there for everybody: where this machine's packages come from."""

    host: str
    port: int


async def probe_vm(vms: Vms, clock: Clock, emit: Emit) -> list[CheckView]:
    """Make a VM, look at what it can do, and remove it. A check that fails is an answer; so is a VM that fails."""
    began = clock.monotonic()
    request = VmRequest(_SIZES, name=f"doctor-{os.urandom(4).hex()}", wait_ssh=False, cold=True)
    try:
        vm = await vms.create_vm(request, emit)
    except BangerError as error:
        return [CheckView("probe: boot", "fail", error.message, hint=error.hint)]
    try:
        took = clock.monotonic() - began
        return [await _boot(vms, vm, took), await _disk(vms, vm), *await _network(vms, vm)]
    finally:
        with anyio.move_on_after(_DELETE_S, shield=True):
            await vms.delete_vm(vm.id, emit)


async def _boot(vms: Vms, vm: VmView, took_s: float) -> CheckView:
    status, said = await _in_guest(vms, vm, "uname -sr")
    return CheckView("probe: boot", "ok" if status == 0 else "fail", f"{said}, ready after {took_s:.1f} s")


async def _disk(vms: Vms, vm: VmView) -> CheckView:
    script = "f=$(mktemp -p /root) && echo x > $f && sync $f && rm $f && df -h --output=size /root"
    status, said = await _in_guest(vms, vm, script)
    detail = f"/root can be written to ({said.split()[-1]})" if status == 0 and said else said
    return CheckView("probe: disks", "ok" if status == 0 else "fail", detail or "/root cannot be written to")


async def _network(vms: Vms, vm: VmView) -> list[CheckView]:
    target = _target()
    if target is None:
        return [CheckView("probe: network", "warn", "no archive is known to this machine that a guest could reach")]
    address = await anyio.to_thread.run_sync(_address, target)
    return [await _resolves(vms, vm, target), await _reaches(vms, vm, target, address)]


async def _resolves(vms: Vms, vm: VmView, target: _Target) -> CheckView:
    name = "probe: names"
    status, said = await _in_guest(vms, vm, f"getent hosts {target.host}")
    if status == 0:
        return CheckView(name, "ok", f"{target.host} is {said.split()[0] if said else 'known'}")
    # A guest asks the name servers of this machine; its hosts(5) it does not see.
    here = await run(["getent", "-s", "dns", "hosts", target.host], deadline_s=_COMMAND_S)
    if here.status != 0:
        return CheckView(name, "warn", f"no name server of this machine knows {target.host}: a guest cannot either")
    return CheckView(name, "fail", f"{target.host} is known here, not in a guest", hint="cat /etc/resolv.conf")


async def _reaches(vms: Vms, vm: VmView, target: _Target, address: str | None) -> CheckView:
    name, what = "probe: network", f"{target.host}:{target.port}"
    if address is None:
        return CheckView(name, "warn", f"this machine itself does not reach {what}: no guest was tried")
    script = f"timeout {_CONNECT_S:.0f} bash -c 'exec 3<>/dev/tcp/{address}/{target.port}'"
    status, said = await _in_guest(vms, vm, script)
    if status == 0:
        return CheckView(name, "ok", f"a guest reaches {what}")
    return CheckView(name, "fail", f"this machine reaches {what}, a guest does not: {said}", hint="banger vm run")


async def _in_guest(vms: Vms, vm: VmView, script: str) -> tuple[int, str]:
    """Exit status and the end of what it says; -1 if it did not end in time."""
    said = bytearray()
    with anyio.move_on_after(_COMMAND_S):
        async with await vms.exec_vm(vm.id, ExecRequest(("sh", "-c", script))) as session:
            await session.send_eof()
            while not isinstance(happening := await session.receive(), Exit):
                if isinstance(happening, Output):
                    said += happening.data
            return happening.status, said[-_OUTPUT_CHARS:].decode(errors="replace").strip()
    return -1, f"no answer within {_COMMAND_S:.0f} s"


def _target() -> _Target | None:
    try:
        archives = find_archives(os.environ.get(SETTING) or None)
    except BangerError:
        return None
    for uri in (source.uri for archive in archives for source in archive.sources):
        parts = urlsplit(uri)
        # Into a shell in the guest goes nothing but a name.
        if parts.scheme in _PORTS and parts.hostname and parts.hostname.replace("-", "").replace(".", "").isalnum():
            return _Target(parts.hostname, parts.port or _PORTS[parts.scheme])
    return None


def _address(target: _Target) -> str | None:
    """The IPv4 address at which this machine reaches it, or None."""
    try:
        with socket.create_connection((target.host, target.port), timeout=_CONNECT_S) as connection:
            address = str(connection.getpeername()[0])
    except OSError:
        return None
    return address if connection.family == socket.AF_INET else None
