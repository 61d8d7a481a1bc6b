"""Decompress the "legacy" LZ4 container, which Linux kernels use (lz4_Block_format.md and lz4_Frame_format.md of lz4).

Compression is nobody's job here, and one kernel a machine is read once: pure Python is fast enough (seconds).
"""

from banger.model.errors import HostError

MAGIC = b"\x02\x21\x4c\x18"
_BLOCK_LARGEST_BYTES = 8 * 1024 * 1024
_MATCH_LEAST = 4
_LENGTH_GOES_ON = 15
_BYTE_FULL = 255


def decompress_legacy(data: bytes, *, limit_bytes: int) -> bytes:
    """Return the content. Raises HostError if it is broken, cut short, or longer than `limit_bytes`.

    What follows the last whole block (a kernel has its unpacked size there, four bytes) is ignored.
    """
    if data[:4] != MAGIC:
        raise HostError("LZ4 data: it does not begin with the legacy magic number")
    parts: list[bytes] = []
    total = 0
    at = 4
    while at + 4 < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if size == 0 or at + size > len(data):
            raise HostError(f"LZ4 data: a block of {size} bytes at offset {at} does not fit")
        try:
            block = _block(data[at : at + size])
        except (IndexError, ValueError) as error:
            raise HostError(f"LZ4 data: the block at offset {at} is broken") from error
        total += len(block)
        if total > limit_bytes:
            raise HostError(f"LZ4 data: longer than {limit_bytes} bytes")
        parts.append(block)
        at += size
    return b"".join(parts)


def _length(source: bytes, at: int, length: int) -> tuple[int, int]:
    """Read the bytes that continue a length; return it and where it ends."""
    if length == _LENGTH_GOES_ON:
        more = _BYTE_FULL
        while more == _BYTE_FULL:
            more = source[at]
            at += 1
            length += more
    return length, at


def _block(source: bytes) -> bytes:
    out = bytearray()
    end = len(source)
    at = 0
    while True:
        token = source[at]
        literals, at = _length(source, at + 1, token >> 4)
        if at + literals > end:
            raise ValueError("literals beyond the end")
        out += source[at : at + literals]
        at += literals
        if at == end:
            return bytes(out)
        offset = source[at] | source[at + 1] << 8
        match, at = _length(source, at + 2, token & _LENGTH_GOES_ON)
        _copy(out, offset, match + _MATCH_LEAST)


def _copy(out: bytearray, offset: int, length: int) -> None:
    start = len(out) - offset
    if offset == 0 or start < 0 or len(out) + length > _BLOCK_LARGEST_BYTES:
        raise ValueError("a match outside the block")
    if offset >= length:
        out += out[start : start + length]
    else:
        # It overlaps what it makes: a run that repeats every `offset` bytes.
        out += (out[start:] * (length // offset + 1))[:length]
