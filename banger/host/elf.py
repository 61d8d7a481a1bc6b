"""What a program needs to be loaded: its ELF interpreter, and where libraries are. For those who confine programs."""

import os
import struct
from pathlib import Path

from banger.model.errors import HostError

LIBRARIES = tuple(
    Path(name)
    for name in ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/nix/store", "/gnu/store")
)
_ELF_HEADER_BYTES, _PT_INTERP = 64, 3
LOADER_CACHE = Path("/etc/ld.so.cache")


def loader_of(program: Path) -> tuple[Path, ...]:
    """Return the ELF interpreter of a program: the segment of type PT_INTERP (elf(5)); empty if linked statically."""
    with program.open("rb") as file:
        head = file.read(_ELF_HEADER_BYTES)
        if len(head) < _ELF_HEADER_BYTES or head[:5] != b"\x7fELF\x02":
            raise HostError(f"{program}: not a 64-bit ELF program, so it cannot be run confined")
        table, size, count = *struct.unpack_from("<Q", head, 0x20), *struct.unpack_from("<HH", head, 0x36)
        for index in range(count):
            file.seek(table + index * size)
            kind, _, offset, _, _, length = struct.unpack("<IIQQQQ", file.read(40))
            if kind == _PT_INTERP:
                file.seek(offset)
                return (Path(os.fsdecode(file.read(length).rstrip(b"\0"))).resolve(),)
    return ()
