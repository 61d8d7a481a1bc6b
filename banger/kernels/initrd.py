"""Find kernel modules in an initrd: cpio archives one after another, each packed or not, as the kernel takes them.

Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst. Nothing of it is unpacked to this machine's
disk: files are looked at in memory, and only those that are modules are returned.
"""

import lzma
import zlib
from collections.abc import Generator, Iterator
from typing import Final

import zstandard

from banger.guest import lz4
from banger.model.errors import HostError, SpecError

INITRD_LARGEST_BYTES: Final = 512 * 1024**2
_MAGICS: Final = (b"070701", b"070702")
_HEADER_BYTES: Final = 110
_NAME_LONGEST: Final = 4096
_REGULAR, _KIND = 0o100000, 0o170000


def modules_in(initrd: bytes, what: str) -> Iterator[tuple[str, bytes]]:
    """Each module and each list of those built in, by its path. Raises SpecError for what is no initrd."""
    rest, budget = initrd, INITRD_LARGEST_BYTES
    if not rest.strip(b"\0"):
        raise SpecError(f"{what}: an empty initrd")
    while rest := rest.lstrip(b"\0"):
        if rest.startswith(_MAGICS):
            end = yield from _archive(rest, what)
            rest = rest[end:]
            continue
        packed, rest = rest, b""  # what follows a packed archive is part of it, for every format but zeros
        content = _unpack(packed, budget, what)
        budget -= len(content)
        if not content.startswith(_MAGICS):
            raise SpecError(f"{what}: no initrd: what is packed in it is no cpio archive")
        yield from _archive(content, what)


def _archive(data: bytes, what: str) -> Generator[tuple[str, bytes], None, int]:
    """Members of one archive; returns where it ends."""
    at = 0
    while True:
        head = data[at : at + _HEADER_BYTES]
        if len(head) < _HEADER_BYTES or not head.startswith(_MAGICS):
            raise SpecError(f"{what}: a cpio archive that is cut short")
        try:
            fields = [int(head[6 + 8 * place : 14 + 8 * place], 16) for place in range(13)]
        except ValueError:
            raise SpecError(f"{what}: a cpio archive with a broken header") from None
        mode, size, name_bytes = fields[1], fields[6], fields[11]
        start = at + (_HEADER_BYTES + name_bytes + 3 & ~3)
        end = start + (size + 3 & ~3)
        if not 0 < name_bytes <= _NAME_LONGEST or start + size > len(data):
            raise SpecError(f"{what}: a cpio archive that is cut short")
        name = data[at + _HEADER_BYTES : at + _HEADER_BYTES + name_bytes - 1].decode("utf-8", "replace")
        if name == "TRAILER!!!":
            return end
        if mode & _KIND == _REGULAR and (".ko" in name or name.endswith("/modules.builtin")):
            yield name.removeprefix("./").removeprefix("/"), data[start : start + size]
        at = end


def _unpack(data: bytes, limit: int, what: str) -> bytes:
    try:
        content = _by_magic(data, limit)
    except (lzma.LZMAError, zlib.error, zstandard.ZstdError, HostError) as error:
        raise SpecError(f"{what}: an initrd that cannot be decompressed: {error}") from error
    if content is None:
        raise SpecError(f"{what}: no initrd: it begins with {data[:6].hex()}")
    if len(content) >= limit:
        raise SpecError(f"{what}: an initrd of more than {INITRD_LARGEST_BYTES} bytes")
    return content


def _by_magic(data: bytes, limit: int) -> bytes | None:
    if data.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31).decompress(data, limit)
    if data.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data, limit)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
            return reader.read(limit)
    if data.startswith(lz4.MAGIC):
        return lz4.decompress_legacy(data, limit_bytes=limit)
    return None
