"""The firewall as text: what every VM may send, by whom it may be reached, and how the two tables hold that.

Rules are there once; a VM is an element of some sets. What a VM sends is judged on its way into the bridge (only as
itself), between two VMs (only if both have said that they are peers), into the host (never, but for answers), and out
(never, unless it may; never to link-local addresses, where clouds keep their metadata). Nobody outside opens a
connection to a VM. The host itself may.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address

from banger.worker.journal import Lease
from banger.worker.validation import Instance, mac_address, tap_name

_CLOSED = "0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4, 240.0.0.0/4"
_SETS = {
    "bridge": {"taps": "ifname", "peers": "ifname", "sources": "ifname . ether_addr . ipv4_addr"},
    "inet": {
        "open": "ipv4_addr",
        "peers": "ipv4_addr",
        "lent": "ifname",
        "allowed": "ipv4_addr . ipv4_addr . inet_proto . inet_service; flags interval",
    },
}
_BRIDGE_RULES = """
  chain guard { type filter hook prerouting priority -300; policy accept;
    iifname != @taps accept
    ether type ip iifname . ether saddr . ip saddr @sources accept
    ether type arp iifname . ether saddr . arp saddr ip @sources \\
      iifname . arp saddr ether . arp saddr ip @sources accept
    drop
  }
  chain between { type filter hook forward priority -200; policy accept;
    iifname @peers oifname @peers accept
    iifname @taps drop
    oifname @taps drop
  }
"""
# Where the kernel hands bridged packets to this table too (br_netfilter), peers come by the first rule of `forward`.
# `lent`: interfaces that forward only because we turned that on; they forward for us and for nobody else.
_INET_RULES = """
  chain input { type filter hook input priority filter - 10; policy accept;
    iifname != "%(bridge)s" accept
    ct state established,related accept
    drop
  }
  chain forward { type filter hook forward priority filter - 10; policy accept;
    iifname "%(bridge)s" oifname "%(bridge)s" ip saddr @peers ip daddr @peers accept
    iifname "%(bridge)s" oifname "%(bridge)s" drop
    oifname "%(bridge)s" ct state established,related accept
    oifname "%(bridge)s" drop
    iifname "%(bridge)s" ip daddr { %(closed)s } drop
    iifname "%(bridge)s" ip saddr @open accept
    iifname "%(bridge)s" ip saddr . ip daddr . ip protocol . th dport @allowed accept
    iifname "%(bridge)s" drop
    iifname @lent drop
  }
  chain out { type nat hook postrouting priority srcnat; policy accept;
    ip saddr %(network)s oifname != "%(bridge)s" masquerade
  }
"""

Element = tuple[str, str, str]
"""Family, set, and the element as nft spells it."""


def elements(instance: Instance, lease: Lease, slot: int) -> set[Element]:
    """Return what a lease puts into the sets. `slot`: of the VM's TAP."""
    if lease.kind == "forward":
        return {("inet", "lent", f'"{lease.key}"')}
    if lease.kind == "bridge":
        return set()
    tap, address = tap_name(lease.key), instance.address(slot)
    if lease.kind == "tap":
        return {
            ("bridge", "taps", tap),
            ("bridge", "sources", f"{tap} . {mac_address(lease.key)} . {address}"),
        }
    found: set[Element] = set()
    if lease.egress:
        found.add(("inet", "open", str(address)))
    if lease.peers:
        found |= {("bridge", "peers", tap), ("inet", "peers", str(address))}
    for one in lease.allow:
        network = f"{IPv4Address(one.network)}/{one.prefix}"
        found.add(("inet", "allowed", f"{address} . {network} . {one.protocol} . {one.first_port}-{one.last_port}"))
    return found


def change(instance: Instance, remove: Iterable[Element], add: Iterable[Element]) -> str:
    """Return the transaction that takes elements out and puts others in."""
    lines = [
        f"{verb} element {family} {instance.table} {name} {{ {element} }}"
        for verb, some in (("delete", remove), ("add", add))
        for family, name, element in sorted(some)
    ]
    return "\n".join(lines)


def replace(instance: Instance, some: Iterable[Element]) -> str:
    """Return the transaction that puts both tables in the place of what there is of them."""
    values = {"bridge": instance.bridge, "network": instance.network, "closed": _CLOSED}
    rules = {"bridge": _BRIDGE_RULES, "inet": _INET_RULES % values}
    found = sorted(some)
    lines = []
    for family, sets in _SETS.items():
        lines += [remove(instance, family), f'table {family} {instance.table} {{\n  comment "{instance.mark}"']
        for name, kind in sets.items():
            members = ", ".join(element for of, into, element in found if (of, into) == (family, name))
            lines.append(f"  set {name} {{ type {kind}; {f'elements = {{ {members} }};' if members else ''} }}")
        lines.append(f"{rules[family]}}}")
    return "\n".join(lines)


def remove(instance: Instance, family: str) -> str:
    """Return what removes a table, whether or not it is there."""
    return f"add table {family} {instance.table}\ndelete table {family} {instance.table}"


def families() -> Iterable[str]:
    """The families that have a table."""
    return _SETS
