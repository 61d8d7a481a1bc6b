"""What the everyday verbs of a VM ask for and show: its health, what it uses, its ports, changes to it.

Standard-library dataclasses, like banger.model.vm. What came from the guest has no character that a terminal obeys.
"""

from dataclasses import dataclass, field

from banger.model.vm import Forward


@dataclass(frozen=True, slots=True)
class VmChange:
    """What is to be different about a VM; None: as it is. All but the name needs it to be stopped."""

    name: str | None = None
    vcpus: int | None = None
    memory_mib: int | None = None
    disk_bytes: int | None = None
    nat: bool | None = None

    @property
    def is_of_the_machine(self) -> bool:
        """Whether it changes more than the name."""
        return (self.vcpus, self.memory_mib, self.disk_bytes, self.nat) != (None, None, None, None)


@dataclass(frozen=True, slots=True)
class HealthView:
    """How a VM is, as its agent says. `reason`: why it is not healthy. The other fields are None if nobody answers."""

    id: str
    name: str
    state: str
    healthy: bool
    reason: str | None = None
    agent: str | None = None
    uptime_s: float | None = None
    network_up: bool | None = None
    ssh: str | None = None


@dataclass(frozen=True, slots=True)
class GuestUseView:
    """What the guest's kernel says: its load averages over 1, 5 and 15 minutes, and its memory in bytes."""

    load: list[float]
    memory_bytes: int
    available_bytes: int


@dataclass(frozen=True, slots=True)
class StatsView:
    """What a VM uses of this host, and what its guest says of itself.

    `cpu_s`: processor time of its VMM since it started, `uptime_s` ago; `cpu_percent`: of one processor, just now.
    `rss_bytes` counts memory that VMs share in each of them, `pss_bytes` a share of it (proc(5), smaps_rollup).
    `root_bytes` and `work_bytes` are what its disks take on this host.
    """

    id: str
    name: str
    state: str
    vcpus: int
    memory_bytes: int
    disk_bytes: int
    root_bytes: int
    work_bytes: int
    uptime_s: float | None = None
    cpu_s: float | None = None
    cpu_percent: float | None = None
    rss_bytes: int | None = None
    pss_bytes: int | None = None
    guest: GuestUseView | None = None
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PortView:
    """A port that listens in a guest. `protocol`: tcp, http or https; `endpoint`: where this host reaches it.

    A web page's endpoint is a URL. `endpoint` None: only the guest itself can reach it, `note` says why.
    """

    protocol: str
    endpoint: str | None
    port: int
    process: str
    command: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class PortsView:
    """What listens in a guest. `truncated`: there is more than is listed."""

    id: str
    name: str
    address: str | None
    ports: list[PortView]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ForwardsView:
    """What this host forwards to a VM now."""

    id: str
    name: str
    forwards: list[Forward]
