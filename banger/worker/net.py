"""What root does for a VM's network: hold, release and probe a bridge, a TAP, and the way out.

Each is written down before it is begun and again when it was seen to be there. All of it can be done twice, and undone
when it is gone. What does not bear our mark is not touched, whatever its name.
"""

import errno
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Interface
from pathlib import Path

from banger.worker import wire
from banger.worker.journal import Journal, Lease
from banger.worker.netlink import Link, Netlink
from banger.worker.nft import Nft, NftError
from banger.worker.ruleset import Element, change, elements, families, remove, replace
from banger.worker.tap import make_tap
from banger.worker.validation import Instance, RefusedError, check_destinations, choose_slot, mac_address, tap_name

_SWITCHES = Path("/proc/sys/net")
_RESTS_ON = {"bridge": "tap", "tap": "nat"}
_FAULTS = (OSError, NftError, RefusedError)


class NetExecutor:
    """The one that changes the host. `checkpoint` is told where it is; tests kill it there."""

    def __init__(
        self, instance: Instance, owner_uid: int, journal: Journal, checkpoint: Callable[[str], None] = lambda _: None
    ) -> None:
        self._instance = instance
        self._owner_uid = owner_uid
        self._journal = journal
        self._checkpoint = checkpoint
        self._netlink = Netlink()
        self._nft = Nft()

    def close(self) -> None:
        """Let go of the kernel; what is held stays."""
        self._netlink.close()

    def perform(self, request: wire.AnyRequest) -> wire.AnyReply:
        """Do one thing. Raises RefusedError if it cannot be done; then it is not done in half either."""
        try:
            return self._perform(request)
        except _FAULTS as error:
            raise _refusal(error) from error

    def _perform(self, request: wire.AnyRequest) -> wire.AnyReply:
        seq, reply = request.seq, wire.Done(seq=request.seq)
        match request:
            case wire.Hello():
                return wire.Welcome(seq=seq, version=wire.VERSION, instance=self._instance.id)
            case wire.List():
                held = (wire.Held(one.kind, one.key) for one in self._journal.all_held() if one.kind != "forward")
                return wire.Leases(seq=seq, held=tuple(held))
            case wire.Probe():
                lease = self._journal.held(request.kind, request.vm)
                return wire.Alive(seq=seq, alive=lease is not None and self._is_there(lease))
            case wire.HoldTap():
                return self._attach(seq, request.vm)
            case wire.Release():
                self._release(request.kind, request.vm)
            case wire.HoldBridge():
                if len({one.key for one in self._journal.all_held("bridge")} | {request.vm}) > self._instance.slots:
                    raise RefusedError("quota")
                self._hold(Lease("bridge", request.vm, network=str(self._instance.network)))
            case wire.HoldNat():
                self._let_out(Lease("nat", request.vm, 0, request.egress, request.peers, request.allow))
        return reply

    def reconcile(self) -> list[str]:
        """After a start: make the host what the journal says, and the journal what the host says. Return failures.

        Raises RefusedError if VMs are on another network than this worker is for.
        """
        for lease in self._journal.from_before():
            self._journal.release(lease)
        for lease in self._journal.all_held("bridge"):
            if lease.network != str(self._instance.network):
                raise RefusedError("order", detail=f"VMs are on {lease.network}; stop them first")
        failures = [self._try(partial(self._abandon, lease)) for lease in self._journal.begun()]
        links = {link.alias: link for link in self._netlink.links()}
        for lease in self._journal.all_held("tap"):
            if self._instance.tap_mark(lease.key) not in links:
                for one in (self._journal.held("nat", lease.key), lease):
                    if one is not None:
                        self._journal.release(one)
        for alias, link in links.items():
            mark, _, vm = alias.rpartition(":")
            if mark == self._instance.mark and self._journal.held("tap", vm) is None:
                self._netlink.delete_link(link.index)
        bridges = self._journal.all_held("bridge")
        failures.append(self._try(self._make_bridge if bridges else self._remove_bridge))
        self._end_forwarding()
        return [failure for failure in failures if failure]

    def _attach(self, seq: int, vm: str) -> wire.Attached:
        self._need("bridge", vm)
        taps = [one for one in self._journal.all_held("tap") + self._journal.begun() if one.kind == "tap"]
        if any(one.key != vm and tap_name(one.key) == tap_name(vm) for one in taps):
            raise RefusedError("foreign")
        self._find_tap(vm)
        lease = next((one for one in taps if one.key == vm), None)
        if lease is None:
            taken = frozenset(one.slot for one in taps)
            lease = Lease("tap", vm, choose_slot(vm, taken, self._instance.slots))
        self._hold(lease)
        address, network = self._instance.address(lease.slot), self._instance.network
        gateway = str(self._instance.gateway)
        return wire.Attached(
            seq=seq, tap=tap_name(vm), mac=mac_address(vm), address=str(address), prefix=network.prefixlen,
            gateway=gateway,
        )  # fmt: skip

    def _let_out(self, lease: Lease) -> None:
        check_destinations(lease.allow)
        self._need("tap", lease.key)
        try:
            if lease.egress or lease.allow:
                self._forward()
            self._hold(lease)
        finally:
            self._end_forwarding()

    def _need(self, kind: str, vm: str) -> None:
        if self._journal.held(kind, vm) is None:
            raise RefusedError("order")

    def _hold(self, lease: Lease) -> None:
        was = self._journal.held(*lease.name)
        if was == lease and self._is_there(lease):
            return
        self._journal.intend(lease)
        self._checkpoint("intended")
        try:
            self._make(lease, was)
            self._checkpoint("made")
            if not self._is_there(lease):
                raise RefusedError("kernel", detail=f"{lease.kind} is not there once made")
        except _FAULTS:
            self._abandon(lease)
            raise
        self._journal.hold(lease)
        self._checkpoint("held")

    def _release(self, kind: str, vm: str) -> None:
        name = (kind, vm)
        known = {one.name: one for one in self._journal.begun() + self._journal.all_held()}
        if (_RESTS_ON.get(kind), vm) in known:
            raise RefusedError("order")
        lease = known.get(name)
        if lease is None:
            return
        self._undo(lease)
        self._checkpoint("undone")
        self._journal.release(lease)
        self._checkpoint("released")
        if kind == "nat":
            self._end_forwarding()

    def _make(self, lease: Lease, was: Lease | None) -> None:
        if lease.kind == "bridge":
            if not any(self._is_there(one) for one in self._journal.all_held("bridge")):
                self._make_bridge()
            return
        old, new = self._elements(was), self._elements(lease)
        self._change(old - new, new)
        if lease.kind == "forward":
            self._switch(f"ipv4/conf/{lease.key}/forwarding", "1")
        if lease.kind == "tap":
            self._checkpoint("guarded")
            link = self._find_tap(lease.key)
            if link is None:
                make_tap(tap_name(lease.key), self._owner_uid, lambda: self._connect(lease.key))
            else:
                self._connect(lease.key)

    def _undo(self, lease: Lease) -> None:
        if lease.kind == "bridge":
            others = [one for one in self._journal.all_held() + self._journal.begun() if one.kind == "bridge"]
            if all(one.key == lease.key for one in others):
                self._remove_bridge()
            return
        if lease.kind == "tap":
            link = self._find_tap(lease.key, only_ours=True)
            if link is not None:
                self._netlink.delete_link(link.index)
                self._checkpoint("unplugged")
        if lease.kind == "forward":
            self._switch(f"ipv4/conf/{lease.key}/forwarding", "0")
        self._change(self._elements(lease), set())

    def _abandon(self, lease: Lease) -> None:
        self._undo(lease)
        self._journal.release(lease)

    def _try(self, what: Callable[[], None]) -> str:
        """Do one thing of a sweep, where a failure is no reason to leave the rest; return the failure."""
        try:
            what()
        except _FAULTS as error:
            return str(_refusal(error))
        return ""

    def _is_there(self, lease: Lease) -> bool:
        bridge = self._netlink.link(self._instance.bridge)
        if bridge is None or bridge.alias != self._instance.mark or not bridge.is_up:
            return False
        if lease.kind == "tap":
            tap = self._find_tap(lease.key, only_ours=True)
            if tap is None or tap.master != bridge.index or not tap.is_up:
                return False
        return self._has(self._elements(lease))

    def _has(self, some: set[Element]) -> bool:
        asked = [f"get element {of} {self._instance.table} {name} {{ {one} }}" for of, name, one in sorted(some)]
        asked = asked or [f"list table {family} {self._instance.table}" for family in families()]
        try:
            for script in asked:  # one by one: nft looks at no more than one table at a time
                self._nft.run(script)
        except NftError:
            return False
        return True

    def _elements(self, lease: Lease | None) -> set[Element]:
        if lease is None:
            return set()
        tap = lease if lease.kind == "tap" else self._journal.held("tap", lease.key)
        return elements(self._instance, lease, 0 if tap is None else tap.slot)

    def _change(self, old: set[Element], new: set[Element]) -> None:
        """One transaction. Where the tables are not as they were left, they are replaced."""
        if not (old or new):
            return
        try:
            self._nft.run(change(self._instance, old, new))
        except NftError:
            leases = self._journal.all_held() + self._journal.begun()
            wanted = {one for lease in leases for one in self._elements(lease)}
            if any(lease.kind == "bridge" for lease in leases):
                self._replace((wanted - old) | new)

    def _replace(self, some: set[Element]) -> None:
        for family in families():
            self._has_table(family)
        self._nft.run(replace(self._instance, some))

    def _has_table(self, family: str, *, only_ours: bool = False) -> bool:
        """Whether there is our table. Raises RefusedError if there is somebody else's of that name."""
        if f"table {family} {self._instance.table}" not in self._nft.run(f"list tables {family}").splitlines():
            return False
        is_ours = f'comment "{self._instance.mark}"' in self._nft.run(f"list table {family} {self._instance.table}")
        if not is_ours and not only_ours:
            raise RefusedError("foreign")
        return is_ours

    def _find_bridge(self, *, only_ours: bool = False) -> Link | None:
        link = self._netlink.link(self._instance.bridge)
        ours = {(self._instance.mark, self._instance.bridge_mac), ("", self._instance.bridge_mac)}
        if link is None or (link.alias, link.mac) in ours:
            return link
        if only_ours:
            return None
        raise RefusedError("foreign")

    def _make_bridge(self) -> None:
        instance = self._instance
        link = self._find_bridge()
        for network, name in self._netlink.routes():
            if name != instance.bridge and network.prefixlen and network.overlaps(instance.network):
                raise RefusedError("foreign", detail=f"{network} on {name} is there already")
        if link is None:
            self._netlink.add_bridge(instance.bridge, instance.bridge_mac)
            self._checkpoint("bridged")
            link = self._netlink.link(instance.bridge)
            assert link is not None
        leases = self._journal.all_held() + self._journal.begun()
        self._replace({one for lease in leases for one in self._elements(lease)})
        self._netlink.set_link(link.index, alias=instance.mark)
        self._switch(f"ipv6/conf/{instance.bridge}/disable_ipv6", "1")
        self._switch(f"ipv4/conf/{instance.bridge}/forwarding", "1")
        self._netlink.set_address(link.index, IPv4Interface((instance.gateway, instance.network.prefixlen)))
        self._netlink.set_link(link.index, is_up=True)
        for lease in self._journal.all_held("tap"):
            self._connect(lease.key)

    def _remove_bridge(self) -> None:
        link = self._find_bridge(only_ours=True)
        if link is not None:
            self._netlink.delete_link(link.index)
            self._checkpoint("unbridged")
        for family in families():
            if self._has_table(family, only_ours=True):
                self._nft.run(remove(self._instance, family))

    def _find_tap(self, vm: str, *, only_ours: bool = False) -> Link | None:
        link = self._netlink.link(tap_name(vm))
        if link is not None and link.alias != self._instance.tap_mark(vm):
            if only_ours:
                return None
            raise RefusedError("foreign")
        return link

    def _connect(self, vm: str) -> None:
        name = tap_name(vm)
        link, bridge = self._netlink.link(name), self._netlink.link(self._instance.bridge)
        if link is None or bridge is None:
            raise RefusedError("kernel", errno.ENODEV)
        self._switch(f"ipv6/conf/{name}/disable_ipv6", "1")
        self._netlink.set_link(link.index, alias=self._instance.tap_mark(vm), master=bridge.index, is_up=True)
        self._checkpoint("connected")

    def _forward(self) -> None:
        """Have the ways out forward for us. A switch that is on is not ours, and stays as it is."""
        for name in sorted({link for to, link in self._netlink.routes() if to.prefixlen == 0}):
            if name.isprintable() and '"' not in name and self._switched(f"ipv4/conf/{name}/forwarding") == "0":
                self._hold(Lease("forward", name))

    def _end_forwarding(self) -> None:
        if not any(lease.egress or lease.allow for lease in self._journal.all_held("nat")):
            for lease in self._journal.all_held("forward"):
                self._release("forward", lease.key)

    def _switched(self, name: str) -> str:
        return (_SWITCHES / name).read_text().strip()

    def _switch(self, name: str, value: str) -> None:
        path = _SWITCHES / name
        if path.exists():  # a kernel without IPv6, or an interface that has gone
            path.write_text(value)


def _refusal(error: Exception) -> RefusedError:
    if isinstance(error, RefusedError):
        return error
    return RefusedError("kernel", getattr(error, "errno", None) or 0, str(error))
