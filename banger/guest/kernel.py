"""Read a Linux kernel image for x86 (bzImage): its release, and the vmlinux inside.

QEMU boots a bzImage as it is; Firecracker wants the vmlinux. Format: kernel Documentation/arch/x86/boot.rst.
"""

import lzma
import struct
import zlib
from typing import Final

import zstandard

from banger.guest import lz4
from banger.model.errors import HostError

VMLINUX_LARGEST_BYTES: Final = 512 * 1024 * 1024
_SECTOR: Final = 512
_SIGNATURE_AT: Final = 0x202
_SIGNATURE: Final = b"HdrS"
_VERSION_AT: Final = 0x206
_PAYLOAD_SINCE: Final = 0x0208
_RELEASE_AT: Final = 0x20E
_RELEASE_LONGEST: Final = 256
_SETUP_SECTORS_AT: Final = 0x1F1
_SETUP_SECTORS_IF_ZERO: Final = 4
_PAYLOAD_AT: Final = 0x248
_ELF: Final = b"\x7fELF"


def kernel_release(image: bytes) -> str:
    """Return what `uname -r` will say, as `6.1.0-37-cloud-amd64`. Raises HostError if this is no bzImage."""
    _check(image)
    start = struct.unpack_from("<H", image, _RELEASE_AT)[0] + 0x200
    text, end, _ = image[start : start + _RELEASE_LONGEST].partition(b"\0")
    words = text.split()
    if not end or not words:
        raise HostError("kernel image: it does not say its release")
    return words[0].decode("ascii", "replace")


def extract_vmlinux(image: bytes) -> bytes:
    """Return the ELF kernel inside a bzImage; a vmlinux is one. Raises HostError if there is none that can be read."""
    if image.startswith(_ELF):
        return image
    _check(image)
    sectors = image[_SETUP_SECTORS_AT] or _SETUP_SECTORS_IF_ZERO
    offset, length = struct.unpack_from("<II", image, _PAYLOAD_AT)
    start = (sectors + 1) * _SECTOR + offset
    payload = image[start : start + length]
    if len(payload) != length or length == 0:
        raise HostError("kernel image: cut short")
    try:
        vmlinux = _unpack(payload)
    except (lzma.LZMAError, zlib.error, zstandard.ZstdError) as error:
        raise HostError(f"kernel image: the kernel inside cannot be decompressed: {error}") from error
    if not vmlinux.startswith(_ELF):
        raise HostError("kernel image: what is inside is no ELF file")
    return vmlinux


def _check(image: bytes) -> None:
    if len(image) < _PAYLOAD_AT + 8 or image[_SIGNATURE_AT : _SIGNATURE_AT + 4] != _SIGNATURE:
        raise HostError("kernel image: not a bzImage for x86")
    (version,) = struct.unpack_from("<H", image, _VERSION_AT)
    if version < _PAYLOAD_SINCE:
        raise HostError(f"kernel image: boot protocol {version >> 8}.{version & 0xFF:02} is too old")


def _unpack(payload: bytes) -> bytes:
    """Decompress by magic number. After the data of most formats comes its unpacked size, four bytes."""
    limit = VMLINUX_LARGEST_BYTES
    if payload.startswith(_ELF):
        return payload
    if payload.startswith(lz4.MAGIC):
        return lz4.decompress_legacy(payload, limit_bytes=limit)
    if payload.startswith(b"\x1f\x8b"):
        return _whole(zlib.decompressobj(wbits=31), payload)
    if payload.startswith(b"\xfd7zXZ\0"):
        return _whole(lzma.LZMADecompressor(lzma.FORMAT_XZ), payload)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        with zstandard.ZstdDecompressor().stream_reader(payload, read_across_frames=False) as reader:
            data = reader.read(limit)
            if len(data) == limit:
                raise HostError(f"kernel image: larger than {limit} bytes")
            return data
    raise HostError(f"kernel image: packed in a way that is not known here (it begins with {payload[:6].hex()})")


def _whole(decompressor: "zlib._Decompress | lzma.LZMADecompressor", payload: bytes) -> bytes:
    data = decompressor.decompress(payload, VMLINUX_LARGEST_BYTES)
    if not decompressor.eof:
        raise HostError(f"kernel image: cut short, or larger than {VMLINUX_LARGEST_BYTES} bytes")
    return data
