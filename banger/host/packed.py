"""A sparse file without its holes, as one plain file: to digest or copy it costs what it holds, not what it measures.

A header of whole pages (magic, size of the sparse file, number of extents, then offset and length of each; all 64 bits,
little-endian), and behind it the bytes of the extents, one after the other.
"""

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from banger.host.sparse import copy_range, data_extents
from banger.model.errors import HostError

_MAGIC: Final = b"bngrpack"
_HEAD: Final = struct.Struct("<8sQQ")
_EXTENT: Final = struct.Struct("<QQ")
_PAGE_BYTES: Final = 4096
_EXTENTS_MOST: Final = 1 << 20


def _go_on() -> None:
    """Nobody cancels."""


def pack(source: Path, dest: Path, between: Callable[[], None] = _go_on) -> None:
    """Write the packed form of a sparse file to `dest`, which must not exist. Raises HostError.

    `between` is called between parts of a long copy, and raises to end it.
    """
    try:
        with source.open("rb") as inner, dest.open("xb") as outer:
            extents = list(data_extents(inner.fileno()))
            if len(extents) > _EXTENTS_MOST:
                raise HostError(f"{source}: {len(extents)} extents are more than can be packed")
            head = _HEAD.pack(_MAGIC, os.fstat(inner.fileno()).st_size, len(extents))
            table = head + b"".join(_EXTENT.pack(start, end - start) for start, end in extents)
            outer.write(table + bytes(-len(table) % _PAGE_BYTES))
            outer.flush()
            at = outer.tell()
            for start, end in extents:
                copy_range(inner.fileno(), outer.fileno(), (start, end), at, between)
                at += end - start
    except OSError as error:
        raise HostError(f"{source}: cannot be packed: {error.strerror}") from error


def unpack(source: Path, dest: Path, between: Callable[[], None] = _go_on) -> None:
    """Write the sparse file that was packed to `dest`, which must not exist. Raises HostError, also for nonsense."""
    try:
        with source.open("rb") as inner, dest.open("xb") as outer:
            magic, size, count = _HEAD.unpack(inner.read(_HEAD.size))
            if magic != _MAGIC or count > _EXTENTS_MOST:
                raise HostError(f"{source}: not a packed file")
            table = inner.read(count * _EXTENT.size)
            outer.truncate(size)
            at = -(-(_HEAD.size + len(table)) // _PAGE_BYTES) * _PAGE_BYTES
            for start, end in _extents(table, size, source):
                # From the packed file's place to the sparse file's.
                copy_range(inner.fileno(), outer.fileno(), (at, at + end - start), start, between)
                at += end - start
    except (OSError, struct.error) as error:
        dest.unlink(missing_ok=True)
        raise HostError(f"{source}: cannot be unpacked: {error}") from error


def _extents(table: bytes, size: int, source: Path) -> Iterator[tuple[int, int]]:
    last = 0
    for start, length in _EXTENT.iter_unpack(table):
        if start < last or start + length > size:
            raise HostError(f"{source}: its extents overlap, or reach beyond its end")
        last = start + length
        yield start, last
