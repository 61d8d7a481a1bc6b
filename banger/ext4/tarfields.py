"""The fields of a tar header: numbers, names, the checksum.

Sources: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format" and "Extensions".
"""

import struct

from banger.ext4.names import shown
from banger.model.errors import SpecError

BLOCK_BYTES = 512
MAX_EXTENSION_BYTES = 1 << 20
ZEROS = bytes(BLOCK_BYTES)
HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
USTAR_MAGIC = b"ustar\0"
_ID_LIMIT = (1 << 32) - 1
_MAX_DEVICE = 0xFFF, 0xFFFFF


def kind_of(flag: bytes) -> str:
    """The type flag as a character; the three flags of a regular file are one."""
    return "0" if flag in b"\x007" else flag.decode("latin-1")


def text_of(field: bytes) -> bytes:
    """A field of text, up to its first NUL."""
    return field.split(b"\0", 1)[0]


def number(field: bytes, entry: bytes, what: str) -> int:
    """An octal field, or GNU's base-256 form for what does not fit (GNU tar manual, "Extensions")."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big") if field[0] != 0xFF else _negative(field)  # noqa: PLR2004
    digits = text_of(field).strip(b" ")
    try:
        return int(digits, 8) if digits.isdigit() else _empty(digits)
    except ValueError:
        raise SpecError(f"tar entry {shown(entry)}: its {what} is not an octal number") from None


def _negative(field: bytes) -> int:
    return int.from_bytes(field, "big", signed=True)


def _empty(digits: bytes) -> int:
    if digits:
        raise ValueError(digits)
    return 0


def identity(value: int, entry: bytes) -> int:
    """Return a uid or gid that ext4 can hold. Raises SpecError for any other; -1 means "leave it" to chown(2)."""
    if not 0 <= value < _ID_LIMIT:
        raise SpecError(f"tar entry {shown(entry)}: owner {value} is out of range")
    return value


def size_of(value: int, entry: bytes) -> int:
    """Return a size. Raises SpecError if it is negative."""
    if value < 0:
        raise SpecError(f"tar entry {shown(entry)}: its size is negative")
    return value


def device(major: bytes, minor: bytes, entry: bytes) -> tuple[int, int]:
    """The numbers of a device. Raises SpecError if Linux has no such device."""
    numbers = number(major, entry, "device number"), number(minor, entry, "device number")
    if not all(0 <= number <= limit for number, limit in zip(numbers, _MAX_DEVICE, strict=True)):
        raise SpecError(f"tar entry {shown(entry)}: device {numbers[0]}:{numbers[1]} is out of range")
    return numbers


def check_sum(block: bytes, field: bytes, last: bytes) -> None:
    """The sum of the header's bytes with blanks in its place; some old writers summed signed bytes."""
    digits = text_of(field).strip(b" ")
    stated = int(digits, 8) if digits.isdigit() and not digits.strip(b"01234567") else -1
    unsigned = sum(block) - sum(field) + 8 * 0x20
    if stated == unsigned:
        return
    outside = block[:148] + block[156:]
    if stated != unsigned - 256 * sum(byte > 0x7F for byte in outside):  # noqa: PLR2004
        raise SpecError(f"tar: the header after {shown(last)} is damaged: its checksum is wrong")
