"""Virtual machine monitors: what one is asked for, what it answers, and the Protocol that each implementation meets.

Nothing here knows of tasks or of the graph. A machine is a value; a running one is a process, named by a
`ProcessIdentity` that can be written down and recognised after a restart of whoever started it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from banger.host.pidfd import ProcessIdentity
from banger.model.errors import SpecError

__all__ = [
    "Accelerator",
    "Disk",
    "DiskFormat",
    "GuestState",
    "Machine",
    "ProcessIdentity",
    "TapNetwork",
    "UserNetwork",
    "Vmm",
    "VmmFacts",
]

VM_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_DISK_FILE = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}\Z")
_SERIAL = re.compile(r"[a-z0-9-]{1,20}\Z")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_TAP = re.compile(r"[a-z0-9-]{1,15}\Z")
_WORD = re.compile(r"[!#-~]{1,512}\Z")
_LAST_PORT = 65535

MONITOR_SOCKET = "qmp.sock"
AGENT_SOCKET = "agent.sock"
CONSOLE_LOG = "console.log"
VMM_LOG = "vmm.log"
AGENT_PORT = "org.banger.agent.0"
"""Name of the virtio-serial port, as the guest sees it below /sys/class/virtio-ports (or /dev/virtio-ports)."""
NETDEV = "net"
"""Name of the host's end of the guest's network, in QEMU."""
USER_NETWORK = "10.0.2.15/24,10.0.2.2,10.0.2.3"
"""Address, gateway and name server of a guest on QEMU's user network (QEMU docs, "Network emulation")."""


class Accelerator(StrEnum):
    """What runs the guest's instructions: the processor, or QEMU's translator."""

    KVM = "kvm"
    TCG = "tcg"


class DiskFormat(StrEnum):
    """How a disk's file is laid out."""

    QCOW2 = "qcow2"
    RAW = "raw"


class GuestState(StrEnum):
    """What the VMM says of its guest."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Disk:
    """A block device. `file` is a name in the VM's directory; the guest finds it by `serial`, not by its order."""

    file: str
    serial: str
    format: DiskFormat
    size_bytes: int

    def __post_init__(self) -> None:
        if not _DISK_FILE.match(self.file):
            raise SpecError(f"{self.file[:80]!r} cannot be a disk's file name")
        if not _SERIAL.match(self.serial):
            raise SpecError(f"{self.serial[:80]!r} cannot be a disk's serial: 1 to 20 of a-z, 0-9, '-'")
        if self.size_bytes <= 0:
            raise SpecError(f"disk {self.serial}: size {self.size_bytes} is not above 0")


@dataclass(frozen=True, slots=True)
class UserNetwork:
    """A network made by the VMM without privilege: egress for the guest, and one way in, from loopback to its SSH.

    `restricted`: no egress; what is forwarded to the guest still comes in.
    """

    ssh_port: int
    mac: str
    restricted: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.ssh_port <= _LAST_PORT:
            raise SpecError(f"{self.ssh_port} is not a TCP port")
        if not _MAC.match(self.mac):
            raise SpecError(f"{self.mac[:40]!r} is not a MAC address in lower case")


@dataclass(frozen=True, slots=True)
class TapNetwork:
    """A network that somebody else has made: a TAP which the VMM's user may open."""

    tap: str
    mac: str

    def __post_init__(self) -> None:
        if not _TAP.match(self.tap):
            raise SpecError(f"{self.tap[:40]!r} cannot be a TAP's name")
        if not _MAC.match(self.mac):
            raise SpecError(f"{self.mac[:40]!r} is not a MAC address in lower case")


@dataclass(frozen=True, slots=True)
class Machine:
    """A virtual machine to start. `vm_dir` holds its disks and gets its sockets and logs; the other paths are read.

    `parameters` are the words of the kernel's command line that the guest's init reads, such as ``banger.root=root``.
    `tsc_khz` is the rate of the host's time stamp counter, None if it is not known; only TCG needs it.
    """

    vm_id: str
    vm_dir: Path
    vcpus: int
    memory_mib: int
    accelerator: Accelerator
    kernel: Path
    initramfs: Path | None
    parameters: tuple[str, ...]
    disks: tuple[Disk, ...]
    network: UserNetwork | TapNetwork | None
    tsc_khz: int | None = None

    def __post_init__(self) -> None:
        if not VM_ID.match(self.vm_id):
            raise SpecError(f"{self.vm_id[:80]!r} cannot be a VM's id")
        if self.vcpus < 1 or self.memory_mib < 1:
            raise SpecError(f"VM {self.vm_id}: {self.vcpus} vcpus, {self.memory_mib} MiB: both must be above 0")
        for word in self.parameters:
            if not _WORD.match(word):
                raise SpecError(f"VM {self.vm_id}: {word[:80]!r} cannot be one word of a kernel's command line")
        for values in ([disk.file for disk in self.disks], [disk.serial for disk in self.disks]):
            if len(set(values)) != len(values):
                raise SpecError(f"VM {self.vm_id}: two disks share a name: {', '.join(values)}")


@dataclass(frozen=True, slots=True)
class VmmFacts:
    """Which VMM it is, exactly: what a frozen VM must be keyed by. `binary_sha256` is lower-case hexadecimal."""

    binary: Path
    version: str
    binary_sha256: str
    accelerators: tuple[Accelerator, ...]


class Vmm(Protocol):
    """A virtual machine monitor. Every method but `find` may raise HostError and DeadlineError."""

    async def facts(self) -> VmmFacts:
        """Say which program this is."""
        ...

    async def launch(self, machine: Machine, *, deadline_s: float) -> ProcessIdentity:
        """Start a machine and return once its VMM answers; the guest has only begun to boot.

        The process outlives the caller. Raises ConflictError if that machine runs already, TransientError if its port
        is taken. A launch that raises leaves no process.
        """
        ...

    def find(self, vm_id: str) -> Sequence[ProcessIdentity]:
        """Return the processes that run this machine, whoever recorded them or did not: at most one, save by a bug."""
        ...

    async def guest_state(self, vm_dir: Path) -> GuestState:
        """Ask the VMM how its guest is."""
        ...

    async def pause(self, vm_dir: Path) -> None:
        """Stop the guest's processors; does nothing if they are stopped."""
        ...

    async def resume(self, vm_dir: Path) -> None:
        """Let the guest's processors go on; does nothing if they run."""
        ...

    async def press_power_button(self, vm_dir: Path) -> None:
        """Ask the guest to power off. It may not listen."""
        ...

    async def quit(self, vm_dir: Path) -> None:
        """End the VMM at once, after its caches of disk blocks are written to the files."""
        ...
