"""Sparse files in a tar: where the pieces that it holds belong, and how long the file really is.

Source: GNU tar manual, "Storing Sparse Files"; the old format (type flag S) has its map in the header, PAX 0.0 and 0.1
in extended headers, PAX 1.0 at the beginning of the content.
"""

import struct
from collections.abc import Iterable
from typing import Final

from banger.ext4.layout import BLOCK_BYTES
from banger.ext4.names import shown
from banger.ext4.tarfields import number
from banger.layers.content import FileContent
from banger.model.errors import SpecError

Segments = list[tuple[int, int]]
"""The first byte and the length of each piece of data."""

MAX_SEGMENTS: Final = 200_000
MAX_FILE_BYTES: Final = (1 << 32) * BLOCK_BYTES - BLOCK_BYTES
"""What an extent can address."""

_HEADER_MAP_AT, _HEADER_SEGMENTS = 386, 4
_EXTENDED_AT, _REAL_SIZE_AT = 482, 483
_EXTENSION_SEGMENTS, _MORE_AT = 21, 504
_SEGMENT = struct.Struct("12s12s")
_MAP_BLOCK_BYTES = 512
_MAX_DIGITS = 20


def header_map(block: bytes, path: bytes) -> tuple[Segments, int, bool]:
    """The segments in a header of type S, the real size, and whether an extension follows the header."""
    size = number(block[_REAL_SIZE_AT : _REAL_SIZE_AT + 12], path, "real size")
    return _segments(block, _HEADER_MAP_AT, _HEADER_SEGMENTS, path), size, bool(block[_EXTENDED_AT])


def extension_map(block: bytes, path: bytes) -> tuple[Segments, bool]:
    """The segments in an extension, and whether another one follows."""
    return _segments(block, 0, _EXTENSION_SEGMENTS, path), bool(block[_MORE_AT])


def _segments(block: bytes, at: int, count: int, path: bytes) -> Segments:
    found = []
    for offset, length in _SEGMENT.iter_unpack(block[at : at + count * _SEGMENT.size]):
        if not length.strip(b"\0 ") and not offset.strip(b"\0 "):
            break
        found.append((number(offset, path, "sparse map"), number(length, path, "sparse map")))
    return found


class PaxSparse:
    """What the records `GNU.sparse.*` of one member say. `name` and `real_size` are None if they do not."""

    def __init__(self, records: Iterable[tuple[bytes, bytes]], path: bytes) -> None:
        self.name: bytes | None = None
        self.real_size: int | None = None
        self.segments: Segments = []
        self.is_in_content = False
        numbers: list[int] = []
        for key, value in records:
            if key == b"name":
                self.name = value
            elif key in (b"size", b"realsize"):
                self.real_size = _decimal(value, path)
            elif key == b"major":
                self.is_in_content = _decimal(value, path) == 1
            elif key == b"map":
                numbers = [_decimal(part, path) for part in value.split(b",")] if value else []
            elif key in (b"offset", b"numbytes"):
                numbers.append(_decimal(value, path))
        if len(numbers) % 2:
            raise SpecError(f"tar entry {shown(path)}: its sparse map is malformed")
        self.segments = list(zip(numbers[::2], numbers[1::2], strict=True))


class SparseContent:
    """Feeds the pieces of a sparse file to its content, with gaps between them."""

    def __init__(self, content: FileContent, segments: Segments, real_size: int, stored: int, path: bytes) -> None:
        check_segments(segments, real_size, stored, path)
        self._content = content
        self._real_size = real_size
        self._segments = [segment for segment in segments if segment[1]]
        self._segments.reverse()
        self._at = 0

    def feed(self, data: memoryview) -> None:
        """Take the next bytes of the tar."""
        while data:
            offset, length = self._segments[-1]
            self._content.gap(offset - self._at)
            here = data[:length]
            self._content.feed(here)
            self._at = offset + len(here)
            if len(here) == length:
                self._segments.pop()
            else:
                self._segments[-1] = self._at, length - len(here)
            data = data[len(here) :]

    def finish(self) -> None:
        """The rest is a hole."""
        self._content.gap(self._real_size - self._at)
        self._content.finish()


class MapInContent:
    """Reads the map of PAX 1.0, decimal numbers in lines filled up to a block, and then the pieces."""

    def __init__(self, content: FileContent, real_size: int, stored: int, path: bytes) -> None:
        self._content = content
        self._real_size = real_size
        self._stored = stored
        self._path = path
        self._text = bytearray()
        self._read = 0
        self._numbers: list[int] = []
        self._wanted = 1
        self._data: SparseContent | None = None

    def feed(self, data: memoryview) -> None:
        """Take the next bytes of the tar."""
        while self._data is None and data:
            missing = _MAP_BLOCK_BYTES - self._read % _MAP_BLOCK_BYTES
            self._text += data[:missing]
            self._read += min(missing, len(data))
            data = data[missing:]
            if self._read % _MAP_BLOCK_BYTES == 0:
                self._parse()
        if self._data is not None and data:
            self._data.feed(data)

    def finish(self) -> None:
        """The rest is a hole. Raises SpecError if the map has no end."""
        if self._data is None:
            raise SpecError(f"tar entry {shown(self._path)}: its sparse map is cut short")
        self._data.finish()

    def _parse(self) -> None:
        lines = bytes(self._text).split(b"\n")
        for line in lines[:-1]:
            if len(self._numbers) == self._wanted:
                break
            self._numbers.append(_decimal(line, self._path))
            if len(self._numbers) == 1:
                if self._numbers[0] > MAX_SEGMENTS:
                    raise SpecError(f"tar entry {shown(self._path)}: its sparse map is too long")
                self._wanted = 1 + 2 * self._numbers[0]
        self._text = bytearray(lines[-1])
        if len(self._text) > _MAX_DIGITS and len(self._numbers) < self._wanted:
            raise SpecError(f"tar entry {shown(self._path)}: its sparse map is malformed")
        if len(self._numbers) == self._wanted:
            segments = list(zip(self._numbers[1::2], self._numbers[2::2], strict=True))
            left = self._stored - self._read
            self._data = SparseContent(self._content, segments, self._real_size, left, self._path)


def check_segments(segments: Segments, real_size: int, stored: int, path: bytes) -> None:
    """Raise SpecError that names the entry unless the segments ascend, fit, and are all that the tar holds."""
    end = 0
    if not 0 <= real_size <= MAX_FILE_BYTES:
        raise SpecError(f"tar entry {shown(path)}: its real size of {real_size} bytes is more than ext4 can hold")
    if len(segments) > MAX_SEGMENTS:
        raise SpecError(f"tar entry {shown(path)}: its sparse map is too long")
    for offset, length in segments:
        if offset < end or length < 0 or offset + length > real_size:
            raise SpecError(f"tar entry {shown(path)}: its sparse map overlaps or ends behind the file")
        end = offset + length
    if sum(length for _, length in segments) != stored:
        raise SpecError(f"tar entry {shown(path)}: its sparse map does not fit what the tar holds")


def _decimal(text: bytes, path: bytes) -> int:
    if not text.isdigit() or len(text) > _MAX_DIGITS:
        raise SpecError(f"tar entry {shown(path)}: its sparse map is malformed")
    return int(text)
