"""Small real machines for tests: guests of a few instructions that need no kernel, disk or firmware of ours."""

import struct
from pathlib import Path

from banger.vm import Accelerator, Machine

_LOAD_ADDRESS = 0x100000
_HEADER_BYTES = 32
_MULTIBOOT_MAGIC = 0x1BADB002
_HAS_ADDRESSES = 1 << 16

HALT = bytes.fromhex("f4 eb fd")  # hlt; jmp back
FLOOD_SERIAL = bytes.fromhex("ba f8030000 b0 78 ee eb fd")  # mov edx, 0x3f8; mov al, 'x'; out dx, al; jmp back


def write_guest(path: Path, code: bytes) -> Path:
    """Write 32-bit code as a kernel that QEMU loads (Multiboot 0.6.96, section 3.1)."""
    checksum = -(_MULTIBOOT_MAGIC + _HAS_ADDRESSES) & 0xFFFFFFFF
    addresses = (_LOAD_ADDRESS, _LOAD_ADDRESS, 0, 0, _LOAD_ADDRESS + _HEADER_BYTES)
    path.write_bytes(struct.pack("<8I", _MULTIBOOT_MAGIC, _HAS_ADDRESSES, checksum, *addresses) + code)
    return path


def machine_of(vm_dir: Path, vm_id: str, code: bytes = HALT) -> Machine:
    """Return a machine without disks or network that runs `code`; makes its directory."""
    vm_dir.mkdir(mode=0o700, exist_ok=True)
    kernel = write_guest(vm_dir / "guest.kernel", code)
    return Machine(
        vm_id=vm_id,
        vm_dir=vm_dir,
        vcpus=1,
        memory_mib=16,
        accelerator=Accelerator.TCG,
        kernel=kernel,
        initramfs=None,
        parameters=(),
        disks=(),
        network=None,
        tsc_khz=1_000_000,
    )
