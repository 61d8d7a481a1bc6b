"""`net.user`: a VM's network without privilege, through the VMM: SSH on a loopback port, and an address of its own."""

import hashlib
from typing import ClassVar

from banger.model.action import Scope
from banger.model.handles import UserNet
from banger.tasks import Context, Effect
from banger.vm.ports import free_port, loopback_address


class NetUser(Effect[UserNet], frozen=True, kw_only=True):
    """The lease keeps other VMs of ours off the port until this one's VMM has bound it, and off the address."""

    kind: ClassVar[str] = "net.user"
    version: ClassVar[int] = 2
    scope: ClassVar[Scope] = Scope.SESSION
    vm: str
    nat: bool = True

    async def probe(self, ctx: Context, value: UserNet) -> bool:
        """A choice does not go away by itself."""
        return True

    async def apply(self, ctx: Context) -> UserNet:
        """Choose a port that is free now and that no other VM's lease has, and an address that none has."""
        others = [
            lease.value
            for lease in ctx.state.journal.all()
            if lease.kind == self.kind and lease.vm_id != self.vm and isinstance(lease.value, dict)
        ]
        ports = {value["ssh_port"] for value in others}
        addresses = {value.get("address", "") for value in others}
        while (port := free_port()) in ports:
            pass
        return UserNet(port, mac_address(self.vm), loopback_address(self.vm, addresses), not self.nat)

    async def undo(self, ctx: Context, value: UserNet | None) -> None:
        """Nothing of it is on the host: the port is the VMM's."""


def mac_address(vm: str) -> str:
    """A locally administered unicast address (IEEE 802, two low bits of the first octet: 10) from the VM's id."""
    tail = hashlib.sha256(vm.encode()).digest()[:5]
    return ":".join(f"{octet:02x}" for octet in (0x02, *tail))
