"""Take the memory out of the stream in which QEMU migrates a machine: the rest is what a template keeps of its devices.

A template's memory is a file that its QEMU shares with us. A machine that runs has memory of its own, and QEMU writes
that into the stream, page by page. Here the pages go into a file with holes, and what is left reads as if the memory
had been shared. The format is that of QEMU 7.2 (migration/savevm.c, migration/ram.c); what is not that is refused.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import BinaryIO, Final

from banger.model.errors import HostError

_MAGIC: Final = b"QEVM\0\0\0\3"
_CONFIGURATION, _SUBSECTION, _FOOTER = 0x07, 0x05, 0x7E
_START, _PART, _END = 0x01, 0x02, 0x03
_ZERO, _MEM_SIZE, _PAGE, _EOS, _CONTINUE = 0x02, 0x04, 0x08, 0x10, 0x20
_PAGE_BYTES: Final = 4096
_BLOCKS_MOST: Final = 64
MEMORY_BLOCK: Final = b"memory"
"""What the memory of a machine that is restored is called: the id of its backend on the command line."""


class _Cursor:
    """A place in the stream, and what was read up to it."""

    def __init__(self, data: mmap.mmap, source: Path) -> None:
        self.data, self.at, self._source = data, 0, source

    def refusal(self, what: str) -> HostError:
        return HostError(f"QEMU's state ({self._source.name}) is not what this banger knows: {what}, at {self.at}")

    def take(self, size: int) -> bytes:
        piece = self.data[self.at : self.at + size]
        if len(piece) != size:
            raise self.refusal("it ends too early")
        self.at += size
        return piece

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def name(self) -> bytes:
        return self.take(self.number(1))


def split_state(stream: Path, devices: Path, memory: Path, memory_bytes: int) -> None:
    """Write the memory in `stream` to `memory`, and the rest to `devices`; neither may exist. Raises HostError."""
    with stream.open("rb") as file, devices.open("xb") as rest, memory.open("xb") as pages:
        pages.truncate(memory_bytes)
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            cursor = _Cursor(data, stream)
            try:
                _split(cursor, rest, pages.fileno(), memory_bytes)
            except (struct.error, IndexError) as error:
                raise cursor.refusal("it ends too early") from error
            rest.write(data[cursor.at :])


def _split(cursor: _Cursor, rest: BinaryIO, memory: int, memory_bytes: int) -> None:
    """Read up to the end of the section `ram`, which is the only one that comes in parts."""
    if cursor.take(len(_MAGIC)) != _MAGIC or cursor.number(1) != _CONFIGURATION:
        raise cursor.refusal("its header")
    _pass_configuration(cursor)
    rest.write(cursor.data[: cursor.at])
    begin = cursor.at
    if cursor.number(1) != _START:
        raise cursor.refusal("no section starts")
    section = cursor.number(4)
    if cursor.name() != b"ram":
        raise cursor.refusal("its first section is not the memory")
    cursor.take(8)  # instance, version
    rest.write(cursor.data[begin : cursor.at])
    main = _copy_blocks(cursor, rest, memory_bytes)
    writer = _Memory(cursor, rest, memory, main, memory_bytes)
    writer.copy_pages()
    _copy_footer(cursor, rest, section)
    kind = _PART
    while kind != _END:
        begin = cursor.at
        kind = cursor.number(1)
        if kind not in {_PART, _END} or cursor.number(4) != section:
            raise cursor.refusal(f"a section of type {kind} amid the memory")
        rest.write(cursor.data[begin : cursor.at])
        writer.copy_pages()
        _copy_footer(cursor, rest, section)


def _pass_configuration(cursor: _Cursor) -> None:
    """The machine's type, and subsections of which one lists capabilities (vmstate_configuration)."""
    cursor.take(cursor.number(4))
    while cursor.data[cursor.at] == _SUBSECTION:
        cursor.take(1)
        name = cursor.name()
        cursor.take(4)
        if name == b"configuration/capabilities":
            for _ in range(cursor.number(4)):
                cursor.name()
        elif name == b"configuration/target-page-bits":
            cursor.take(4)
        else:
            raise cursor.refusal(f"subsection {name[:40]!r}")


def _copy_blocks(cursor: _Cursor, rest: BinaryIO, memory_bytes: int) -> bytes:
    """The list of memory blocks, the main one under the name that it has where it is restored; return its name here."""
    head = cursor.number(8)
    if not head & _MEM_SIZE:
        raise cursor.refusal("no list of memory blocks")
    rest.write(head.to_bytes(8, "big"))
    left, main = head & ~(_PAGE_BYTES - 1), b""
    for _ in range(_BLOCKS_MOST):
        if left <= 0:
            break
        name, length, place = cursor.name(), cursor.number(8), cursor.take(8)
        if length == memory_bytes and not main:
            main = name
            name = MEMORY_BLOCK
        rest.write(bytes([len(name)]) + name + length.to_bytes(8, "big") + place)
        left -= length
    if left or not main:
        raise cursor.refusal("its memory blocks are not those of the machine")
    return main


class _Memory:
    """Where the pages of the main block go; those of the others stay in the stream."""

    def __init__(self, cursor: _Cursor, rest: BinaryIO, memory: int, main: bytes, memory_bytes: int) -> None:
        self._cursor, self._rest, self._memory = cursor, rest, memory
        self._main, self._size = main, memory_bytes
        self._block = b""
        self._kept_block = b""
        self._written: set[int] = set()

    def copy_pages(self) -> None:
        """Take records up to the end of this part of the section."""
        cursor = self._cursor
        data, unpack = cursor.data, struct.Struct(">Q").unpack_from
        while True:
            (head,) = unpack(data, cursor.at)
            flags = head & (_PAGE_BYTES - 1)
            cursor.at += 8
            if flags == _EOS:
                self._rest.write(head.to_bytes(8, "big"))
                return
            if not flags & _CONTINUE:
                self._block = cursor.name()
            kind = flags & ~_CONTINUE
            if kind not in {_ZERO, _PAGE} or not self._block:
                raise cursor.refusal(f"a page with flags {flags:#x}")
            size = 1 if kind == _ZERO else _PAGE_BYTES
            if self._block == self._main:
                self._put(head - flags, None if kind == _ZERO else cursor.take(size))
                cursor.at += size if kind == _ZERO else 0
            else:
                self._keep(head - flags, kind, cursor.take(size))

    def _put(self, offset: int, page: bytes | None) -> None:
        if offset + _PAGE_BYTES > self._size:
            raise self._cursor.refusal("a page beyond the end of the memory")
        if page is None:
            if offset in self._written:
                os.pwrite(self._memory, bytes(_PAGE_BYTES), offset)
            return
        os.pwrite(self._memory, page, offset)
        self._written.add(offset)

    def _keep(self, offset: int, kind: int, page: bytes) -> None:
        """A record names its block only where that is another than the one before."""
        if self._block == self._kept_block:
            self._rest.write((offset | kind | _CONTINUE).to_bytes(8, "big") + page)
        else:
            name = bytes([len(self._block)]) + self._block
            self._rest.write((offset | kind).to_bytes(8, "big") + name + page)
            self._kept_block = self._block


def _copy_footer(cursor: _Cursor, rest: BinaryIO, section: int) -> None:
    footer = cursor.take(5)
    if footer != bytes([_FOOTER]) + section.to_bytes(4, "big"):
        raise cursor.refusal("a section without its footer")
    rest.write(footer)
