"""Take the content of one file as it comes, in pieces of any size, and place its blocks; long runs of zeros are holes.

What is placed where depends on the content alone, never on how it was cut into pieces.
"""

from typing import Final

from banger.ext4.extents import MAX_EXTENT_BLOCKS, Extent
from banger.ext4.layout import BLOCK_BYTES
from banger.ext4.plan import HOLE_BLOCKS
from banger.ext4.tree import Node
from banger.layers.placer import Placer

HOLE_BYTES: Final = HOLE_BLOCKS * BLOCK_BYTES
"""A shorter file has no holes."""

_ZERO_BLOCK = bytes(BLOCK_BYTES)
_ZEROS = memoryview(bytes(HOLE_BYTES))
_CANDIDATE = bytes(HOLE_BLOCKS)


class FileContent:
    """The blocks of one file under way. The last zero blocks wait until it is known how many there are."""

    def __init__(self, node: Node, placer: Placer) -> None:
        self._node = node
        self._placer = placer
        self._partial = bytearray()
        self._zeros = 0
        self._next = 0
        self._extents: list[Extent] = []

    def feed(self, data: memoryview) -> None:
        """Take the next bytes."""
        if self._partial:
            missing = BLOCK_BYTES - len(self._partial)
            self._partial += data[:missing]
            data = data[missing:]
            if len(self._partial) < BLOCK_BYTES:
                return
            self._blocks(memoryview(bytes(self._partial)))
            self._partial.clear()
        whole = len(data) & -BLOCK_BYTES
        if whole:
            self._blocks(data[:whole])
        if whole < len(data):
            self._partial += data[whole:]

    def gap(self, size: int) -> None:
        """Take `size` zero bytes that nobody sent."""
        if self._partial:
            fill = min(size, BLOCK_BYTES - len(self._partial))
            self.feed(_ZEROS[:fill])
            size -= fill
        self._zeros += size // BLOCK_BYTES
        self._partial += bytes(size % BLOCK_BYTES)

    def finish(self) -> None:
        """Place what is left, and tell the node where everything is."""
        self._settle()
        if self._partial:
            self._emit(1, [bytes(self._partial)])
        extents = self._extents
        if len(extents) == 1 and extents[0][0] == 0 and extents[0][2] == -(-self._node.size // BLOCK_BYTES):
            self._node.block = extents[0][1]
        else:
            self._node.extents = extents

    def _blocks(self, data: memoryview) -> None:
        count = len(data) // BLOCK_BYTES
        firsts = bytes(data[::BLOCK_BYTES])
        leading = 0
        while leading < count and not firsts[leading] and _is_zero(data, leading):
            leading += 1
        self._zeros += leading
        if leading == count:
            return
        self._settle()
        trailing = count
        while not firsts[trailing - 1] and _is_zero(data, trailing - 1):
            trailing -= 1
        done = leading
        at = firsts.find(_CANDIDATE, leading, trailing)
        while at >= 0:
            end = at
            while end < trailing and not firsts[end] and _is_zero(data, end):
                end += 1
            if end - at >= HOLE_BLOCKS:
                self._data(data, done, at)
                self._next += end - at
                done = end
            at = firsts.find(_CANDIDATE, end + 1, trailing)
        self._data(data, done, trailing)
        self._zeros = count - trailing

    def _settle(self) -> None:
        """Something else follows the zero blocks: make them a hole, or write them."""
        count, self._zeros = self._zeros, 0
        if count >= HOLE_BLOCKS:
            self._next += count
        elif count:
            self._emit(count, [_ZEROS[: count * BLOCK_BYTES]])

    def _data(self, data: memoryview, first: int, end: int) -> None:
        if first < end:
            self._emit(end - first, [data[first * BLOCK_BYTES : end * BLOCK_BYTES]])

    def _emit(self, count: int, pieces: list[bytes | memoryview]) -> None:
        placer = self._placer
        runs = placer.take(count)
        if len(runs) > 1:
            pieces = [memoryview(b"".join(pieces).ljust(count * BLOCK_BYTES, b"\0"))]
        done = 0
        for start, length in runs:
            part = pieces if len(runs) == 1 else [pieces[0][done * BLOCK_BYTES : (done + length) * BLOCK_BYTES]]
            placer.append((start, length), part)
            self._extend(start, length)
            done += length

    def _extend(self, start: int, length: int) -> None:
        if self._extents:
            logical, before, known = self._extents[-1]
            room = MAX_EXTENT_BLOCKS - known
            if before + known == start and logical + known == self._next and room:
                joined = min(length, room)
                self._extents[-1] = logical, before, known + joined
                self._next += joined
                start += joined
                length -= joined
        while length:
            here = min(length, MAX_EXTENT_BLOCKS)
            self._extents.append((self._next, start, here))
            self._next += here
            start += here
            length -= here


def _is_zero(data: memoryview, block: int) -> bool:
    return bytes(data[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]) == _ZERO_BLOCK
