"""Say what a file is that is said to be a Linux kernel: its form, processor, release, and what is built into it.

A bzImage is QEMU's usual food. A bare vmlinux it starts through the PVH entry point alone, which a Xen note names
(Xen, docs/misc/pvh.pandoc; Linux, CONFIG_PVH).
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from banger.guest.kernel import extract_vmlinux, kernel_release
from banger.kernels.needs import read_config
from banger.model.errors import SpecError

_ELF: Final = b"\x7fELF"
_HDRS_AT: Final = 0x202
_ELF_HEADER_BYTES: Final = 64
_X86_64: Final = 62
# Numbers of elf(5), e_machine.
_MACHINES: Final = {
    3: "i386",
    8: "MIPS",
    20: "PowerPC",
    21: "PowerPC 64",
    22: "s390",
    40: "ARM",
    183: "arm64",
    243: "RISC-V",
}
_ARM64_AT, _ARM64 = 0x38, b"ARM\x64"
_PT_NOTE: Final = 4
_PHYS32_ENTRY: Final = 18
_PROGRAM_HEADER_BYTES: Final = 56
_BANNER: Final = re.compile(rb"Linux version ([0-9][0-9A-Za-z.+~_-]{0,63}) ")
_CONFIG_BEGIN, _CONFIG_LIMIT_BYTES = b"IKCFG_ST", 4 * 1024**2


@dataclass(frozen=True, slots=True)
class Identity:
    """A kernel that QEMU can start. `config`: its options that are `y` or `m`, if it carries them (CONFIG_IKCONFIG)."""

    form: str
    release: str
    vmlinux: bytes
    config: dict[str, str] | None


def identify(image: bytes, what: str) -> Identity:
    """Read a kernel. Raises SpecError that says what the file is instead, or what it lacks."""
    if image[_HDRS_AT : _HDRS_AT + 4] == b"HdrS":
        vmlinux = extract_vmlinux(image)
        _check_machine(vmlinux, what)
        return Identity("bzImage", kernel_release(image), vmlinux, _config(vmlinux))
    if image.startswith(_ELF):
        _check_machine(image, what)
        if _PHYS32_ENTRY not in _xen_notes(image):
            raise SpecError(
                f"{what}: a vmlinux without a PVH entry point, which QEMU cannot start",
                hint="give the bzImage that was made with it, or build it with CONFIG_PVH=y",
            )
        return Identity("vmlinux", _banner(image, what), image, _config(image))
    raise SpecError(f"{what}: {_guess(image)}", hint="give a bzImage or vmlinux for x86_64, such as /boot/vmlinuz-…")


def _check_machine(elf: bytes, what: str) -> None:
    if len(elf) < _ELF_HEADER_BYTES or elf[4:6] != b"\x02\x01":
        bits = "32-bit or big-endian" if len(elf) >= _ELF_HEADER_BYTES else "cut short"
        raise SpecError(f"{what}: an ELF file that is {bits}; VMs need a kernel for x86_64")
    (kind, machine) = struct.unpack_from("<HH", elf, 16)
    if machine != _X86_64:
        name = _MACHINES.get(machine, f"processor number {machine}")
        raise SpecError(f"{what}: built for {name}; VMs need a kernel for x86_64")
    if kind != 2:  # noqa: PLR2004 - ET_EXEC
        raise SpecError(f"{what}: an ELF file, and no program that could be a kernel")


def _guess(image: bytes) -> str:
    if not image:
        return "an empty file"
    if image[_ARM64_AT : _ARM64_AT + 4] == _ARM64:
        return "a kernel for arm64; VMs need one for x86_64"
    for magic, name in ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"070701", "cpio")):
        if image.startswith(magic):
            return f"packed with {name}, and no kernel image as it is"
    if image.startswith(b"!<arch>\n"):
        return "a Debian package: unpack it first (dpkg-deb -x)"
    return "no kernel image"


def _banner(vmlinux: bytes, what: str) -> str:
    match = _BANNER.search(vmlinux)
    if match is None:
        raise SpecError(f"{what}: an ELF program that does not say which Linux it is")
    return match[1].decode("ascii")


def _config(vmlinux: bytes) -> dict[str, str] | None:
    """The config in a kernel (Linux, kernel/configs.c), or None."""
    start = vmlinux.find(_CONFIG_BEGIN + b"\x1f\x8b")
    if start < 0:
        return None
    try:
        text = zlib.decompressobj(wbits=31).decompress(vmlinux[start + len(_CONFIG_BEGIN) :], _CONFIG_LIMIT_BYTES)
    except zlib.error:
        return None
    return read_config(text.decode("ascii", "replace").splitlines())


def _xen_notes(elf: bytes) -> set[int]:
    """The types of all notes of Xen's."""
    try:
        (offset,) = struct.unpack_from("<Q", elf, 0x20)
        size, count = struct.unpack_from("<HH", elf, 0x36)
        if size != _PROGRAM_HEADER_BYTES:
            return set()
        headers = [struct.unpack_from("<IIQQQQ", elf, offset + number * size) for number in range(count)]
        # type, flags, offset, virtual address, physical address, size in the file
        return {kind for head in headers if head[0] == _PT_NOTE for kind in _notes(elf[head[2] : head[2] + head[5]])}
    except (struct.error, OverflowError):
        return set()


def _notes(segment: bytes) -> Iterator[int]:
    at = 0
    while at + 12 <= len(segment):
        name_bytes, content_bytes, kind = struct.unpack_from("<III", segment, at)
        name = segment[at + 12 : at + 12 + min(name_bytes, 16)]
        if name == b"Xen\0":
            yield kind
        at += 12 + (name_bytes + 3 & ~3) + (content_bytes + 3 & ~3)
