"""`guest.identity`: the guest is told who it is; until then its sshd does not start."""

import secrets
from typing import ClassVar

from banger.guest.protocol import SEED_BYTES, Identity, Network
from banger.host.pidfd import ProcessIdentity
from banger.model.action import Scope
from banger.model.handles import RunningVm, UserNet
from banger.tasks import Context, Effect, Ref
from banger.vm import AGENT_SOCKET
from banger.vm.alive import while_alive

_HOST_KEY_FILE = "ssh_host_ed25519_key"


class GuestIdentity(Effect[str], frozen=True, kw_only=True):
    """Hostname, SSH host key, authorized key; and, restored, its work disk and its MAC address."""

    kind: ClassVar[str] = "guest.identity"
    version: ClassVar[int] = 2
    scope: ClassVar[Scope] = Scope.SESSION
    deadline_s: ClassVar[int] = 60
    vm: str
    hostname: str
    authorized_key: str
    boot: Ref[RunningVm]
    work_bytes: int | None = None
    """Of a restored guest, whose work disk was not there before; it mounts the disk now."""
    net: Ref[UserNet] | None = None
    """Of a restored guest, which has its template's addresses."""

    async def probe(self, ctx: Context, value: str) -> bool:
        """A guest that lives keeps its identity: `boot` is an input, so another boot is another action."""
        return True

    async def apply(self, ctx: Context) -> str:
        """Tell it. The keys are read here and now: they are in no record."""
        directory = ctx.vm_dir(self.vm)
        identity = Identity(
            hostname=self.hostname,
            host_key=(directory / _HOST_KEY_FILE).read_text(encoding="ascii"),
            host_public_key=(directory / f"{_HOST_KEY_FILE}.pub").read_text(encoding="ascii"),
            authorized_key=self.authorized_key,
            seed=secrets.token_bytes(SEED_BYTES),
            machine_id=self.vm,
            network=Network() if self.net is None else _network(ctx.value(self.net)),
            work_bytes=self.work_bytes,
        )

        async def introduce() -> str:
            agent = await ctx.agents.channel(directory / AGENT_SOCKET, deadline_s=self.deadline_s)
            await agent.identity(identity)
            return self.hostname

        booted = ctx.value(self.boot)
        process = ProcessIdentity(booted.pid, booted.start_ticks, booted.boot_id)
        return await while_alive(process, introduce, directory)

    async def undo(self, ctx: Context, value: str | None) -> None:
        """Goes with the guest."""


def _network(net: UserNet) -> Network:
    mac = bytes.fromhex(net.mac.replace(":", ""))
    if not net.tap:
        return Network(mac=mac)
    address = f"{net.address}/{net.prefix}"
    return Network(mac=mac, address=address, gateway=net.gateway, name_server=net.name_server or None)
