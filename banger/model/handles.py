"""What nodes hand to one another: small typed values, JSON in the store. The command line never needs them."""

from typing import Literal

import msgspec

from banger.model.digest import Digest


class File(msgspec.Struct, frozen=True):
    """An object in the CAS; `size` in bytes."""

    digest: Digest
    size: int


class Tree(msgspec.Struct, frozen=True):
    """Many objects in the CAS, each by a name: `listing` is the object that says which, as JSON."""

    listing: File


class ImageLayer(msgspec.Struct, frozen=True):
    """A layer of a container image: the blob by digest and size in bytes, how it is packed, the sha256 of its tar."""

    digest: Digest
    size: int
    compression: Literal["none", "gzip", "zstd"]
    diff_id: Digest


class PulledImage(msgspec.Struct, frozen=True):
    """A container image as its manifest, which `digest` names, describes it; the lowest layer first."""

    digest: Digest
    config: File
    layers: tuple[ImageLayer, ...]


class ImageFacts(msgspec.Struct, frozen=True):
    """What an image says it is (os-release(5), the families nearest first), and what was found in it."""

    os_ids: tuple[str, ...] = ()
    version: str = ""
    codename: str = ""
    name: str = ""
    has_sshd: bool = False


class ImageDisks(msgspec.Struct, frozen=True):
    """The two disks that an image gives to its VMs: the root that they share, and what their work disks begin as."""

    rootfs: File
    seed: File
    facts: ImageFacts = ImageFacts()


class HostVmm(msgspec.Struct, frozen=True):
    """The installed VMM and its accelerator; `reason` says why that accelerator.

    `cpu` names what of the host's processor a guest sees ("": nothing); `tsc_khz` is its time stamp counter's rate.
    """

    version: str
    binary_sha256: str
    accelerator: Literal["kvm", "tcg"]
    reason: str
    tsc_khz: int | None = None
    cpu: str = ""


class KernelFiles(msgspec.Struct, frozen=True):
    """A kernel: the image that QEMU starts, a vmlinux where it is no bzImage, and a tar of lib/modules/<release>."""

    release: str
    bzimage: File
    modules: File


class GuestPrograms(msgspec.Struct, frozen=True):
    """The programs of ours that run in the guest."""

    init: File
    agent: File


class RootDisk(msgspec.Struct, frozen=True):
    """A VM's root disk: its name in the VM's directory, and the size that the guest sees, in bytes."""

    file: str
    size_bytes: int


class WorkDisk(msgspec.Struct, frozen=True):
    """A VM's work disk: its name in the VM's directory, and its size in bytes."""

    file: str
    size_bytes: int


class HostKey(msgspec.Struct, frozen=True):
    """A VM's SSH host key: the public half as in an authorized_keys line, and its name in known_hosts."""

    public_key: str
    alias: str


class UserNet(msgspec.Struct, frozen=True):
    """How a VM is reached: the port on 127.0.0.1 that leads to the guest's port 22, and the guest's MAC address.

    `address` is the VM's own on loopback ("": it has none); `restricted`: the guest reaches nothing beyond this host.
    With a `tap`, `address` is the guest's, and `ssh_port` is there; it has a `prefix` length, a `gateway`, and a
    `name_server`, which is "" where the host does not know one that a guest could ask.
    """

    ssh_port: int
    mac: str
    address: str = ""
    restricted: bool = False
    tap: str = ""
    prefix: int = 0
    gateway: str = ""
    name_server: str = ""

    @property
    def ssh_host(self) -> str:
        """Where `ssh_port` is."""
        return self.address if self.tap else "127.0.0.1"


class LockFile(msgspec.Struct, frozen=True):
    """A file of the user's checkout that a set-up reads: its path below the root, and its content."""

    path: str
    file: File


class FrozenDisks(msgspec.Struct, frozen=True):
    """A guest's disks as a set-up left them: what it wrote to the root disk (no base), and the work disk, packed."""

    root: File
    work: File


class FrozenVm(msgspec.Struct, frozen=True):
    """A guest, frozen: memory (sparse), state of the devices, and what it wrote to its root disk (no base).

    `work`: its work disk, packed; None: it had none of its own yet.
    """

    memory: File
    devices: File
    disk: File
    work: File | None = None


class RunningVm(msgspec.Struct, frozen=True):
    """A VMM process, as banger.host.pidfd identifies it."""

    pid: int
    start_ticks: int
    boot_id: str
    accelerator: Literal["kvm", "tcg"]


class Checkout(msgspec.Struct, frozen=True):
    """A git checkout by its digest (`banger.workspace.values`), and how many of its files travel as what.

    `how` it was sent: whole, changes or nothing ("": not yet), and `sent`, how many files that were.
    """

    digest: Digest
    branch: str | None
    files: int
    overlay: int
    untracked: int
    how: Literal["", "whole", "changes", "nothing"] = ""
    sent: int = 0


class CopiedFiles(msgspec.Struct, frozen=True):
    """What file_sync has put into a guest. `warnings`: the first few of `warned`."""

    files: int
    size_bytes: int
    warnings: tuple[str, ...] = ()
    warned: int = 0
