"""Read the tar of one layer as it is unpacked, in pieces of any size, and place its files' content in the image.

Written for speed: a usual member costs a few microseconds, because what repeats (owner and mode, times, sizes, names of
directories) is decoded once and found again by its bytes, and its content goes to the kernel from where it was
unpacked. Everything unusual takes the slow way through `banger.layers.header`. Both ways lead to the same image.
"""

import zlib
from typing import Protocol

from banger.ext4.names import normalise, shown
from banger.ext4.tarfields import BLOCK_BYTES, MAX_EXTENSION_BYTES, USTAR_MAGIC, ZEROS, check_sum, number
from banger.ext4.tree import Node
from banger.layers.content import HOLE_BYTES, FileContent
from banger.layers.entries import LayerEntries
from banger.layers.header import EXTENSIONS, Member, Pending, member_of
from banger.layers.memory import Memory
from banger.layers.options import Limits
from banger.layers.placer import PADDING, Placer
from banger.layers.sparse import MapInContent, PaxSparse, Segments, SparseContent, extension_map, header_map
from banger.model.errors import SpecError

_FILE, _DIRECTORY, _DOT = ord("0"), ord("5"), ord(".")
_USUAL = frozenset({_FILE, _DIRECTORY})


class Sink(Protocol):
    """What takes the bytes behind a header."""

    def feed(self, data: memoryview) -> None:
        """Take the next bytes."""

    def finish(self) -> "tuple[Sink, int] | None":
        """The last byte has come; return what takes the next ones, and how many, if something belongs to this still."""


class LayerReader:
    """Reads one layer. Raises SpecError that names the entry for everything that is wrong with it."""

    def __init__(self, placer: Placer, limits: Limits, entries_before: int = 0) -> None:
        self.found = LayerEntries()
        self._placer = placer
        self._max_entries = limits.entries - entries_before
        self._pending = Pending()
        self._head = b""
        self._sink: Sink | None = None
        self._left = 0
        self._skip = 0
        self._zero_blocks = 0
        self._last = b"the beginning"
        self._memo = Memory()

    @property
    def is_at_end(self) -> bool:
        """Whether the end of the archive was seen; what follows is not looked at."""
        return self._zero_blocks > 1

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the tar."""
        view = memoryview(piece)
        at = 0
        while not self.is_at_end:
            if self._sink is not None:
                at = self._content(view, at)
                if at == len(piece):
                    return
                continue
            if self._skip:
                here = min(self._skip, len(piece) - at)
                self._skip -= here
                at += here
                if self._skip:
                    return
            if not self._head and self._pending.is_empty and not self._zero_blocks:
                at = self._scan(piece, view, at)
            missing = BLOCK_BYTES - len(self._head)
            if len(piece) - at < missing:
                self._head += piece[at:]
                return
            block = self._head + piece[at : at + missing]
            self._head = b""
            at += missing
            self._header(block)

    def finish(self) -> None:
        """The tar has ended. As everywhere, it may end without the two blocks of zeros, between two members."""
        if self._sink is not None:
            raise SpecError(f"tar entry {shown(self._last)}: cut short: the tar ends within its content")
        if self._head or self._pending.is_waiting:
            raise SpecError(f"tar: cut short after {shown(self._last)}")

    def _content(self, view: memoryview, at: int) -> int:
        """Give the sink what belongs to it; when it has all, go on to what it says."""
        assert self._sink is not None
        here = min(self._left, len(view) - at)
        self._sink.feed(view[at : at + here])
        self._left -= here
        if not self._left:
            further = self._sink.finish()
            self._sink = None
            if further is not None:
                self._expect(*further)
        return at + here

    def _expect(self, sink: Sink, size: int) -> None:
        if size:
            self._sink, self._left, self._skip = sink, size, -size % BLOCK_BYTES
            return
        further = sink.finish()
        if further is not None:
            self._expect(*further)

    def _header(self, block: bytes) -> None:
        """The slow way."""
        if block == ZEROS:
            self._zero_blocks += 1
            return
        if self._zero_blocks:
            raise SpecError(f"tar: the header after {shown(self._last)} is damaged: it follows a block of zeros")
        check_sum(block, block[148:156], self._last)
        flag = block[156]
        if flag in EXTENSIONS:
            size = number(block[124:136], self._last, "size")
            if not 0 <= size <= MAX_EXTENSION_BYTES:
                raise SpecError(f"tar: the extended header after {shown(self._last)} is cut short or too large")
            self._expect(_Extension(self._pending, flag, self._last), size)
            return
        member = member_of(block, self._pending)
        self._pending.reset()
        path = member.path
        if member.sparse:
            sparse = PaxSparse(member.sparse, path)
            path = normalise(sparse.name.lstrip(b"/")) if sparse.name is not None else path
            self._take(path, member)
            self._expect(self._pax_sparse(member, sparse, path), member.size)
        else:
            self._take(path, member)
            if member.is_old_sparse:
                self._expect(*_OldSparse.begin(self._file(member.node), member, block))
            elif member.size:
                self._expect(self._file(member.node), member.size)

    def _take(self, path: bytes, member: Member) -> None:
        self._last = path
        if not path and member.node.children is None:
            raise SpecError("tar entry .: the root is not a directory")
        self.found.add(path, member.node)
        if len(self.found.entries) > self._max_entries:
            raise SpecError(f"tar entry {shown(path)}: the image has too many entries")

    def _file(self, node: Node) -> FileContent:
        self.found.placed.append(node)
        return FileContent(node, self._placer)

    def _pax_sparse(self, member: Member, sparse: PaxSparse, path: bytes) -> Sink:
        real_size = sparse.real_size if sparse.real_size is not None else member.size
        member.node.size = real_size
        if sparse.is_in_content:
            return MapInContent(self._file(member.node), real_size, member.size, path)
        return SparseContent(self._file(member.node), sparse.segments, real_size, member.size, path)

    def _scan(self, piece: bytes, view: memoryview, at: int) -> int:  # noqa: C901, PLR0915 - see below
        """Take usual members for as long as they come and are whole; return where the first other one begins.

        One loop with everything in local variables: half of the time of an image of small files is spent here.
        """
        placer, found = self._placer, self.found
        entries, placed, pieces = found.entries, found.placed, placer.pieces
        cursor, barrier = placer.cursor, placer.barrier
        first = cursor
        memo = self._memo
        size_of, owner_of, time_of, directory_of, sum_of = memo.sizes, memo.owners, memo.times, memo.parents, memo.sums
        adler32, node_type, padding = zlib.adler32, Node, PADDING
        placer.seek(cursor << 12)
        add_entry, add_placed, add_piece = entries.append, placed.append, pieces.append
        length = len(piece)
        room = self._max_entries - len(entries)
        above = name = b""
        while at + 512 <= length and room:
            block = piece[at : at + 512]
            flag = block[156]
            if flag not in _USUAL or adler32(block) & 0xFFFF != sum_of[block[148:156]]:
                break
            path = block[:100].partition(b"\0")[0]
            if block[345]:
                if block[257:263] != USTAR_MAGIC:
                    break
                path = block[345:500].partition(b"\0")[0] + b"/" + path
            owner = owner_of[block[100:124]]
            seconds = time_of[block[136:148]]
            if owner is None or seconds is None:
                break
            mode, uid, gid = owner
            if flag == _DIRECTORY:
                above, _, name = path.rstrip(b"/").rpartition(b"/")
                node = node_type(mode | 0o040000, uid, gid, seconds)
                end = at + 512
                size = blocks = 0
            else:
                above, _, name = path.rpartition(b"/")
                size = size_of[block[124:136]]
                end = at + 512 + (size + 511 & -512)
                blocks = (size + 4095) >> 12
                if not 0 <= size < HOLE_BYTES or end > length or cursor + blocks > barrier:
                    break
                node = node_type(mode | 0o100000, uid, gid, seconds)
                node.size = size
            parent = directory_of[above]
            if parent is None or not name or name[0] == _DOT:
                break
            if size:
                node.block = cursor
                add_placed(node)
                add_piece(view[at + 512 : at + 512 + size])
                if size & 4095:
                    add_piece(padding[size & 4095])
                cursor += blocks
            add_entry((parent, name, node))
            at = end
            room -= 1
        placer.cursor = cursor
        placer.taken += cursor - first
        placer.add((cursor - first) << 12)
        self._last = above + b"/" + name if above else name or self._last
        return at


class _Extension:
    """The body of an extended header."""

    def __init__(self, pending: Pending, flag: int, last: bytes) -> None:
        self._pending = pending
        self._flag = flag
        self._last = last
        self._body = bytearray()
        pending.is_empty = False

    def feed(self, data: memoryview) -> None:
        self._body += data

    def finish(self) -> None:
        self._pending.extend(self._flag, bytes(self._body), self._last)


class _OldSparse:
    """The blocks with the rest of the map behind a header of type S; then come the pieces."""

    def __init__(self, content: FileContent, member: Member, segments: Segments, real_size: int) -> None:
        self._content = content
        self._member = member
        self._segments = segments
        self._real_size = real_size
        self._block = bytearray()

    @staticmethod
    def begin(content: FileContent, member: Member, block: bytes) -> "tuple[Sink, int]":
        """What takes the bytes behind this header, and how many."""
        segments, real_size, is_extended = header_map(block, member.path)
        member.node.size = real_size
        if is_extended:
            return _OldSparse(content, member, segments, real_size), BLOCK_BYTES
        return SparseContent(content, segments, real_size, member.size, member.path), member.size

    def feed(self, data: memoryview) -> None:
        self._block += data

    def finish(self) -> "tuple[Sink, int]":
        member = self._member
        more, is_extended = extension_map(bytes(self._block), member.path)
        self._block.clear()
        self._segments += more
        if len(self._segments) > MAX_EXTENSION_BYTES // 24:
            raise SpecError(f"tar entry {shown(member.path)}: its sparse map is too long")
        if is_extended:
            return self, BLOCK_BYTES
        return SparseContent(self._content, self._segments, self._real_size, member.size, member.path), member.size
