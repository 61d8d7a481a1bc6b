"""Kernels and what goes with them, as far as anybody looks at them: no byte of these can run."""

import gzip
import io
import struct
import tarfile
from pathlib import Path

import zstandard

from banger.kernels.needs import NEEDS

RELEASE = "6.6.1-test"
ALL = frozenset(need.option for need in NEEDS)
MODULES = ("virtio_mmio", "virtio_blk", "virtio_console", "virtio_net")
BUILT = ALL - {need.option for need in NEEDS if need.module in MODULES}


def vmlinux(
    built: frozenset[str] = ALL, *, release: str = RELEASE, machine: int = 62, pvh: bool = True, config: str = ""
) -> bytes:
    """An ELF-64 program with the marks of what is built in, a banner, the note of PVH, and maybe its config."""
    note = struct.pack("<III4sQ", 4, 8, 18 if pvh else 7, b"Xen\0", 0x1000000)
    marks = b"".join(need.marker for need in NEEDS if need.option in built)
    content = marks + b"\0Linux version " + release.encode() + b" (builder) #1\n\0"
    if config:
        content += b"IKCFG_ST" + gzip.compress(config.encode()) + b"IKCFG_ED"
    start = 64 + 56
    head = struct.pack("<6s10xHHIQQQIHHHHHH", b"\x7fELF\x02\x01", 2, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    program = struct.pack("<IIQQQQQQ", 4, 4, start, 0, 0, len(note), len(note), 4)
    return head + program + note + content


def bzimage(inner: bytes, *, release: str = RELEASE) -> bytes:
    """A bzImage (Linux, Documentation/arch/x86/boot.rst) whose payload is not packed."""
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x020F)
    struct.pack_into("<H", head, 0x20E, 0x100)
    head[0x300 : 0x300 + len(release) + 10] = f"{release} (builder)"[: len(release) + 10].encode()
    struct.pack_into("<II", head, 0x248, 0, len(inner))
    return bytes(head) + inner


def module(name: str, *, depends: str = "", release: str = RELEASE) -> bytes:
    """The least ELF-64 file that has a .modinfo section."""
    modinfo = f"license=GPL\0depends={depends}\0name={name}\0vermagic={release} SMP\0".encode()
    names = b"\0.modinfo\0.shstrtab\0"
    header = struct.pack("<6s10x HHI QQQ I HHHHHH", b"\x7fELF\x02\x01", 1, 62, 1, 0, 0, 64, 0, 64, 0, 0, 64, 3, 2)
    start = 64 + 3 * 64
    sections = bytes(64)
    sections += struct.pack("<IIQQQQ24x", 1, 1, 0, 0, start, len(modinfo))
    sections += struct.pack("<IIQQQQ24x", 10, 3, 0, 0, start + len(modinfo), len(names))
    return header + sections + modinfo + names


def modules_directory(root: Path, *, release: str = RELEASE, names: tuple[str, ...] = MODULES) -> Path:
    """A directory lib/modules/RELEASE."""
    directory = root / "lib" / "modules" / release
    for name in names:
        path = directory / "kernel" / "drivers" / f"{name}.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(module(name, release=release))
    return directory


def cpio(members: dict[str, bytes]) -> bytes:
    """A newc archive (Linux, Documentation/driver-api/early-userspace/buffer-format.rst)."""
    archive = b""
    for name, data in [*members.items(), ("TRAILER!!!", b"")]:
        fields = (1, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        archive += head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
    return archive


def bundle(members: dict[str, bytes], *, kinds: dict[str, bytes] | None = None) -> bytes:
    """A tar of these members, packed with zstd. `kinds`: types of members that are no regular files."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if kinds and name in kinds:
                member.type, member.size, member.linkname = kinds[name], 0, "/etc/passwd"
            tar.addfile(member, io.BytesIO(data))
    return zstandard.ZstdCompressor().compress(raw.getvalue())
