"""What a VM needs of its kernel: one list for the check at import and for the config of a kernel made for VMs."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from banger.guest.initramfs import OPTIONAL_MODULES
from banger.model.errors import SpecError


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that a kernel must have.

    `option` is its name in the kernel's config. `module`: it may be a module of this name. `marker`: bytes that a
    vmlinux has if it is built in; a driver's name stands in its struct, between NULs.
    """

    what: str
    option: str
    marker: bytes
    module: str | None = None


NEEDS: Final = (
    Need("the bus of a microVM", "CONFIG_VIRTIO_MMIO", b"\0virtio-mmio\0", "virtio_mmio"),
    Need("a bus for where microvm cannot be used", "CONFIG_VIRTIO_PCI", b"\0virtio-pci\0", "virtio_pci"),
    Need("disks", "CONFIG_VIRTIO_BLK", b"\0virtio_blk\0", "virtio_blk"),
    Need("the agent's port", "CONFIG_VIRTIO_CONSOLE", b"\0virtio_console\0", "virtio_console"),
    Need("network", "CONFIG_VIRTIO_NET", b"\0virtio_net\0", "virtio_net"),
    Need("early randomness", "CONFIG_HW_RANDOM_VIRTIO", b"\0virtio_rng\0", "virtio_rng"),
    Need("the file system of both disks", "CONFIG_EXT4_FS", b"\0ext4\0", "ext4"),
    Need("/dev", "CONFIG_DEVTMPFS", b"devtmpfs"),
    Need("an initramfs", "CONFIG_BLK_DEV_INITRD", b"rootfs image as initramfs"),
    Need("the serial console", "CONFIG_SERIAL_8250_CONSOLE", b"\0ttyS\0"),
    Need("devices and power-off", "CONFIG_ACPI", b"ACPI: Interpreter disabled"),
)
_SET = re.compile(r"(CONFIG_[A-Z0-9_]+)=(y|m)\Z")


def is_optional(need: Need) -> bool:
    """Say whether a VM boots without it."""
    return need.module in OPTIONAL_MODULES


def read_config(lines: Iterable[str]) -> dict[str, str]:
    """The options of a kernel's config that are `y` or `m`."""
    found = (_SET.match(line.strip()) for line in lines)
    return {match[1]: match[2] for match in found if match}


def built_in(vmlinux: bytes, config: Mapping[str, str] | None, modules_builtin: Iterable[str]) -> set[str]:
    """The options that this kernel has built in, by its config if it carries one, else by what is seen in it."""
    listed = set(modules_builtin)
    if config is not None:
        return {need.option for need in NEEDS if config.get(need.option) == "y"}
    return {need.option for need in NEEDS if need.module in listed or need.marker in vmlinux}


def check(what: str, built: set[str], modules: set[str]) -> None:
    """Raise SpecError that names everything that is missing."""
    missing = [
        need for need in NEEDS if need.option not in built and need.module not in modules and not is_optional(need)
    ]
    if not missing:
        return
    names = ", ".join(f"{need.option} ({need.what})" for need in missing)
    as_modules = any(need.module for need in missing) and not modules
    hint = "if it has them as modules: --modules /lib/modules/RELEASE" if as_modules else "docs/kernel-catalog.md"
    raise SpecError(f"{what}: no VM can boot from it: it lacks {names}", hint=hint)


def missing_options(config: Mapping[str, str], fragment: Mapping[str, str]) -> list[str]:
    """What a config made for VMs has not as its fragment and `NEEDS` say, sorted. No need is optional there."""
    wanted = {need.option: "y" for need in NEEDS} | dict(fragment)
    return sorted(option for option, value in wanted.items() if config.get(option) != value)
