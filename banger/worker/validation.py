"""Names and addresses, derived from ids; and what types alone cannot say of a request.

Whatever is made bears its full id as a mark (a link's alias, a table's comment). Without the mark it is not ours.
"""

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from banger.worker.wire import Code, Destination

MOST_VMS = 250
LONGEST_LINK_NAME = 15
"""IFNAMSIZ less the NUL (Linux, include/uapi/linux/if.h)."""
_PREFIX_LENGTHS = range(16, 30)


class RefusedError(Exception):
    """The request will not be done; nothing of it was. `errno`: the kernel's reason, if it was the kernel.

    `detail` is for root's eyes: it goes into the audit log, and to nobody who asks.
    """

    def __init__(self, code: Code, errno: int = 0, detail: str = "") -> None:
        super().__init__(f"{code} {errno} {detail}".strip())
        self.code: Code = code
        self.errno = errno


@dataclass(frozen=True, slots=True)
class Instance:
    """What one owner has on this machine: one bridge, one network, two tables."""

    id: str
    network: IPv4Network

    @property
    def bridge(self) -> str:
        """The bridge's name."""
        return bridge_name(self.id)

    @property
    def bridge_mac(self) -> str:
        """The bridge's address. Given with its creation, it marks it before an alias can."""
        return mac_address(f"bridge {self.id}")

    @property
    def table(self) -> str:
        """The name of both tables."""
        return f"banger-{self.id}"

    @property
    def mark(self) -> str:
        """What is written on what belongs to the instance."""
        return f"banger:{self.id}"

    @property
    def gateway(self) -> IPv4Address:
        """The bridge's address: the network's first."""
        return self.network[1]

    def tap_mark(self, vm: str) -> str:
        """What is written on a VM's TAP."""
        return f"{self.mark}:{vm}"

    def address(self, slot: int) -> IPv4Address:
        """The address of a VM."""
        return self.network[slot + 2]

    @property
    def slots(self) -> int:
        """How many VMs there can be: the network, the gateway and the broadcast address are none."""
        return min(MOST_VMS, self.network.num_addresses - 3)


def instance_id(owner_uid: int) -> str:
    """Return what tells an owner's bridge and tables from another's."""
    return hashlib.sha256(f"banger owner {owner_uid}".encode()).hexdigest()[:8]


def instance_of(owner_uid: int, network: IPv4Network) -> Instance:
    """Return the instance of an owner. Raises ValueError for a network that is not private, or of another size."""
    if not network.is_private or network.prefixlen not in _PREFIX_LENGTHS:
        raise ValueError(f"{network} is not a private network of /16 to /29")
    made = Instance(instance_id(owner_uid), network)
    assert len(made.bridge) <= LONGEST_LINK_NAME
    return made


def bridge_name(instance: str) -> str:
    """Return the name of an instance's bridge."""
    return f"bb-{instance}"


def tap_name(vm: str) -> str:
    """Return the name of a VM's TAP; two VMs can share it, which their marks tell apart."""
    name = f"bt-{vm[:8]}"
    assert len(name) <= LONGEST_LINK_NAME
    return name


def mac_address(key: str) -> str:
    """Return a locally administered unicast address (IEEE 802, two low bits of the first octet: 10) from an id."""
    tail = hashlib.sha256(key.encode()).digest()[:5]
    return ":".join(f"{octet:02x}" for octet in (0x02, *tail))


def choose_slot(vm: str, taken: frozenset[int], slots: int) -> int:
    """Return the slot of a VM: mostly the same each time. Raises RefusedError if all are taken."""
    first = int(vm[:8], 16)
    for step in range(slots):
        slot = (first + step) % slots
        if slot not in taken:
            return slot
    raise RefusedError("quota")


def check_destinations(allow: tuple[Destination, ...]) -> None:
    """Raise RefusedError for destinations that no set of the kernel could hold: backwards, inexact, or overlapping."""
    for place, one in enumerate(allow):
        if one.first_port > one.last_port or one.network & (0xFFFFFFFF >> one.prefix):
            raise RefusedError("malformed")
        if any(_overlap(one, other) for other in allow[:place]):
            raise RefusedError("overlap")


def _overlap(one: Destination, other: Destination) -> bool:
    shift = 32 - min(one.prefix, other.prefix)
    return (
        one.protocol == other.protocol
        and one.network >> shift == other.network >> shift
        and one.first_port <= other.last_port
        and other.first_port <= one.last_port
    )
