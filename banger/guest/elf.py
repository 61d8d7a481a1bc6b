"""Read the `.modinfo` section of a kernel module (ELF-64, little-endian): its name and what it depends on."""

import lzma
import struct
from dataclasses import dataclass

import zstandard

from banger.model.errors import HostError

MODULE_LARGEST_BYTES = 32 * 1024 * 1024
_SECTION_HEADER_BYTES = 64
_XZ_MAGIC = b"\xfd7zXZ\0"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """What a module says of itself; names are spelled with underscores, as the kernel does."""

    name: str
    depends: tuple[str, ...]
    vermagic: str = ""
    """Which kernel it was built for: its release, and then some."""


def module_name(file_name: str) -> str:
    """Return the name of the module in `virtio-rng.ko.xz`: `virtio_rng`."""
    return file_name.split(".ko", 1)[0].replace("-", "_")


def decompress_module(data: bytes, what: str) -> bytes:
    """Return the ELF bytes of a `.ko`, `.ko.xz` or `.ko.zst`. Raises HostError if they are broken or too large."""
    try:
        if data.startswith(_XZ_MAGIC):
            decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ)
            data = decompressor.decompress(data, MODULE_LARGEST_BYTES)
            whole = decompressor.eof
        elif data.startswith(_ZSTD_MAGIC):
            with zstandard.ZstdDecompressor().stream_reader(data) as reader:
                data = reader.read(MODULE_LARGEST_BYTES)
                whole = not reader.read(1)
        else:
            whole = True
    except (lzma.LZMAError, zstandard.ZstdError) as error:
        raise HostError(f"kernel module {what}: cannot be decompressed: {error}") from error
    if not whole:
        raise HostError(f"kernel module {what}: larger than {MODULE_LARGEST_BYTES} bytes, or cut short")
    return data


def module_info(elf: bytes, what: str) -> ModuleInfo:
    """Parse a module's ELF bytes (elf(5); `.modinfo` is NUL-separated `key=value`). Raises HostError if it is none."""
    try:
        section = _section(elf, b".modinfo")
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise HostError(f"kernel module {what}: not a kernel module: {error}") from error
    entries = [entry.partition(b"=") for entry in section.split(b"\0")]
    values = {key: value.decode("ascii", "replace") for key, _, value in entries}
    depends = tuple(name.replace("-", "_") for name in values.get(b"depends", "").split(",") if name)
    return ModuleInfo(values.get(b"name", module_name(what)), depends, values.get(b"vermagic", ""))


def _section(elf: bytes, wanted: bytes) -> bytes:
    if elf[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no little-endian ELF-64 header")
    (table_offset,) = struct.unpack_from("<Q", elf, 0x28)
    entry_size, count, names_index = struct.unpack_from("<HHH", elf, 0x3A)
    if entry_size != _SECTION_HEADER_BYTES:
        raise ValueError(f"section headers of {entry_size} bytes")
    # Elf64_Shdr: name, type, flags, addr, offset, size, ...
    headers = [struct.unpack_from("<IIQQQQ", elf, table_offset + i * entry_size) for i in range(count)]
    names_offset = headers[names_index][4]
    for name, _, _, _, offset, size in headers:
        start = names_offset + name
        if elf[start : start + len(wanted) + 1] == wanted + b"\0":
            return elf[offset : offset + size]
    raise ValueError("it has no .modinfo section")
