"""Build the initramfs: banger-init, the agent, and the kernel modules between the kernel and its root disk.

The same inputs give the same bytes. The archive is cpio "newc" (kernel: Documentation/driver-api/early-userspace/
buffer-format.rst), uncompressed: it is a few hundred kilobytes, and unpacking costs an emulated CPU more than copying.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from banger.guest.elf import ModuleInfo, decompress_module, module_info, module_name
from banger.model.errors import HostError, NotFoundError

#: What a banger VM is made of, in the order to load; what they depend on is found by itself.
#: Not here: overlay, 9p, balloon (nothing of ours needs them).
VIRTIO_MODULES = (
    "virtio_mmio",  # the bus of QEMU's microvm and of Firecracker
    "virtio_pci",  # the bus of QEMU's q35, where microvm cannot be used
    "virtio_blk",  # root and work disk
    "virtio_console",  # the agent's port
    "virtio_net",  # eth0
    "virtio_rng",  # random numbers before the host sends a seed
    "crc32c_generic",  # what ext4 asks the kernel for by an alias, which nobody in an initramfs could look up
    "ext4",  # the file system of both disks
)
OPTIONAL_MODULES = frozenset({"virtio_pci", "virtio_rng", "crc32c_generic"})
"""Modules that a kernel may lack: it may have no PCI at all, or do the sums elsewhere."""

_NEWC_MAGIC = "070701"
_DIRECTORY = 0o040755
_PROGRAM = 0o100755
_FILE = 0o100644
_CHARACTER_DEVICE = 0o020600
_CONSOLE = (5, 1)


class ModuleSource(Protocol):
    """Where the modules of one kernel are read from."""

    def read(self, name: str) -> bytes | None:
        """Return the file of the module `name` (with underscores), maybe compressed; None if there is none."""
        ...

    def builtin(self, name: str) -> bool:
        """Say whether the kernel image contains this module."""
        ...


class ModuleTree:
    """A directory `lib/modules/<release>`, as a kernel package unpacks to; needs no modules.dep."""

    def __init__(self, directory: Path) -> None:
        self._files = {module_name(path.name): path for path in sorted(directory.rglob("*.ko*"))}
        builtin = directory / "modules.builtin"
        lines = builtin.read_text().splitlines() if builtin.exists() else []
        self._builtin = frozenset(module_name(Path(line).name) for line in lines)

    def read(self, name: str) -> bytes | None:
        """Return the file of a module."""
        path = self._files.get(name)
        return path.read_bytes() if path else None

    def builtin(self, name: str) -> bool:
        """Say whether the kernel image contains this module."""
        return name in self._builtin


@dataclass(frozen=True, slots=True)
class Module:
    """A module that is ready to load: its name and its uncompressed ELF bytes."""

    name: str
    elf: bytes


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def collect_modules(source: ModuleSource, wanted: Sequence[str] = VIRTIO_MODULES) -> tuple[Module, ...]:
    """Return the wanted modules and all they depend on, each after what it depends on.

    Raises NotFoundError if one is neither there nor built in, unless VMs do without; HostError if one is broken.
    """
    found: dict[str, Module] = {}
    for name in wanted:
        if name in OPTIONAL_MODULES and source.read(name) is None:
            continue
        _collect(source, name, found, ())
    return tuple(found.values())


def _collect(source: ModuleSource, name: str, found: dict[str, Module], path: tuple[str, ...]) -> None:
    if name in found or source.builtin(name):
        return
    if name in path:
        raise HostError(f"kernel modules depend on each other in a circle: {' -> '.join((*path, name))}")
    data = source.read(name)
    if data is None:
        needed = f", which {path[-1]} needs" if path else ""
        raise NotFoundError(f"kernel module {name}{needed}: neither a file nor built into the kernel")
    elf = decompress_module(data, name)
    info: ModuleInfo = module_info(elf, name)
    for dependency in info.depends:
        _collect(source, dependency, found, (*path, name))
    found[name] = Module(name, elf)


def build_initramfs(modules: Iterable[Module], *, init: bytes, agent: bytes) -> bytes:
    """Return the archive that the VMM hands to the kernel.

    `modules` are loaded in their order. `init` and `agent` are the programs that `make -C banger/guest/src` builds.
    """
    loaded = tuple(modules)
    order = "".join(f"/lib/modules/{module.name}.ko\n" for module in loaded)
    entries = [
        *(_Entry(path, _DIRECTORY) for path in ("dev", "etc", "lib", "lib/modules", "proc", "run", "sys")),
        _Entry("dev/console", _CHARACTER_DEVICE, device=_CONSOLE),
        _Entry("etc/modules", _FILE, order.encode()),
        *(_Entry(f"lib/modules/{module.name}.ko", _FILE, module.elf) for module in loaded),
        _Entry("banger-agent", _PROGRAM, agent),
        _Entry("init", _PROGRAM, init),
    ]
    return _newc(entries)


def _newc(entries: Iterable[_Entry]) -> bytes:
    archive = bytearray()
    for inode, entry in enumerate(entries, start=1):
        _append(archive, inode, entry)
    _append(archive, 0, _Entry("TRAILER!!!", 0))
    return bytes(archive)


def _append(archive: bytearray, inode: int, entry: _Entry) -> None:
    name = entry.path.encode() + b"\0"
    links = 2 if entry.mode == _DIRECTORY else 1
    # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    numbers = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    archive += (_NEWC_MAGIC + "".join(f"{number:08X}" for number in numbers)).encode() + name
    _pad(archive)
    archive += entry.data
    _pad(archive)


def _pad(archive: bytearray) -> None:
    archive += b"\0" * (-len(archive) % 4)
