"""What a VM is to its user: the request for one, and the view of one that exists.

Standard-library dataclasses: the command line reads them, and must start before anyone notices.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from banger.model.errors import SpecError
from banger.model.images import Pull

VM_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
"""A DNS label (RFC 1123 §2.1), lower case: the name is the guest's hostname too."""

DEFAULT_IMAGE = "debian-bookworm-slim"
LOOPBACK = "127.0.0.1"
MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Sizes:
    """The shape of a VM: virtual CPUs, memory in MiB, work disk in bytes."""

    vcpus: int
    memory_mib: int
    disk_bytes: int

    def describe(self) -> str:
        """Say it as the `spec:` line does: ``4 vcpu · 8192 MiB · 8G disk``."""
        return f"{self.vcpus} vcpu · {self.memory_mib} MiB · {format_size(self.disk_bytes)} disk"


@dataclass(frozen=True, slots=True)
class WorkspaceRequest:
    """A git checkout to put at /root/repo. `path` is absolute, anywhere inside the repository.

    `full_copy`: its submodules come along.
    """

    path: str
    include_untracked: bool = False
    branch: str | None = None
    from_ref: str | None = None
    full_copy: bool = False


@dataclass(frozen=True, slots=True)
class Forward:
    """A port of the host that leads to one of a guest. `host` is an IPv4 address of this host."""

    host_port: int
    guest_port: int
    host: str = LOOPBACK
    protocol: Literal["tcp", "udp"] = "tcp"

    def describe(self) -> str:
        """Say where it listens and where it leads: ``127.0.0.1:8080 -> 80``."""
        kind = "/udp" if self.protocol == "udp" else ""
        return f"{self.host}:{self.host_port} -> {self.guest_port}{kind}"


@dataclass(frozen=True, slots=True)
class SetupRequest:
    """A command that prepares a VM's disks once. `command` "": none, whatever the repository's banger.toml says.

    `locks`: files of the checkout that the command reads, relative to its root; none: those that are known by name.
    """

    command: str
    locks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VmRequest:
    """Everything that `vm create` and `vm run` ask of the daemon. `name` None: the daemon picks one."""

    sizes: Sizes
    name: str | None = None
    image: str = DEFAULT_IMAGE
    workspace: WorkspaceRequest | None = None
    ephemeral: bool = False
    """The VM goes when the session that made it ends (`--rm`)."""
    wait_ssh: bool = True
    """Whether it is ready only when its SSH is; a command that its agent runs need not wait for that."""
    cold: bool = False
    """Boot it, even if it could be restored from a template."""
    kernel: str | None = None
    """A kernel by name; None: the one that its image names, or the usual one."""
    nat: bool = True
    """Whether the guest reaches beyond this host."""
    ports: list[Forward] = field(default_factory=list)
    """What is forwarded to it whenever it runs."""
    refresh: bool = False
    """Ask again what is remembered of the world: which packages are current."""
    rebuild: tuple[str, ...] = ()
    """Nodes, or kinds of them, to be made again though their results are in the cache."""
    pull: Pull = "missing"
    """Whether a registry is asked what the image's name means now."""
    setup: SetupRequest | None = None
    """None: what the repository's banger.toml says, if there is one."""
    forked_from: str | None = None
    """The VM as which this one began, by its name then."""
    pooled: bool = False
    """It waits for somebody to ask for such a VM, and is nobody's so far."""

    def lasting(self) -> "VmRequest":
        """What is kept of it with the VM: how it was to be made that one time is not."""
        return replace(self, refresh=False, rebuild=(), pull="missing")


@dataclass(frozen=True, slots=True)
class SshEndpoint:
    """How to reach a running VM by SSH: everything that ssh(1) must be told, nothing left to its configuration."""

    host: str
    port: int
    user: str
    identity_file: str
    known_hosts_file: str
    host_key_alias: str


@dataclass(frozen=True, slots=True)
class VmView:
    """A VM as it is shown. `state` is one of banger.vm.lifecycle's; times are seconds since the epoch."""

    id: str
    name: str
    state: str
    image: str
    sizes: Sizes
    created_at: float
    accelerator: str | None = None
    pid: int | None = None
    ssh: SshEndpoint | None = None
    workspace: str | None = None
    console_log: str | None = None
    problems: list[str] = field(default_factory=list)
    address: str | None = None
    """Its own loopback address, on which its ports can be reached (`vm ports`)."""
    nat: bool = True
    ports: list[Forward] = field(default_factory=list)
    forked_from: str | None = None


def check_vm_name(name: str) -> str:
    """Return the name if a VM can have it. Raises SpecError."""
    if not VM_NAME.match(name):
        raise SpecError(
            f"{name[:80]!r} cannot be a VM's name: use 1 to 63 of a-z, 0-9 and '-', not starting or ending with '-'"
        )
    return name


_SIZE = re.compile(r"([0-9]{1,9})([MGT])(?:i?B)?\Z", re.IGNORECASE)
_UNITS = {"M": MIB, "G": GIB, "T": 1024 * GIB}


def parse_size(text: str) -> int:
    """Read a size such as 8G, 512M or 1T (powers of 1024) as bytes. Raises SpecError."""
    match = _SIZE.match(text.strip())
    if not match:
        raise SpecError(f"{text[:40]!r} is not a size: write a whole number and M, G or T, such as 8G")
    return int(match[1]) * _UNITS[match[2].upper()]


def format_size(size_bytes: int) -> str:
    """Write bytes as `parse_size` reads them, in the largest unit that leaves a whole number."""
    for unit in ("T", "G", "M"):
        if size_bytes and size_bytes % _UNITS[unit] == 0:
            return f"{size_bytes // _UNITS[unit]}{unit}"
    return f"{size_bytes / MIB:.1f}M"
