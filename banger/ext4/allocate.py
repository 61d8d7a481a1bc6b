"""Give out blocks in one sweep from the first free one: files end up contiguous, and bitmaps follow from the cursor."""

from banger.ext4.layout import BLOCKS_PER_GROUP, Geometry
from banger.model.errors import SpecError

Run = tuple[int, int]
"""A first block and a number of blocks."""


class BlockAllocator:
    """Takes blocks between the metadata, in ascending order, and never gives one back."""

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self._metadata = list(geometry.metadata())
        self._barriers = self._metadata[1:]
        self._barriers.append((geometry.block_count, 0))
        self._barriers.reverse()
        self._cursor = sum(self._metadata[0])
        self.taken = 0

    def take(self, count: int) -> list[Run]:
        """Take `count` blocks, in as few runs as the metadata in between allows. Raises SpecError if none are left."""
        runs = []
        while count:
            barrier, length = self._barriers[-1]
            here = min(count, barrier - self._cursor)
            if here:
                runs.append((self._cursor, here))
                self._cursor += here
                self.taken += here
                count -= here
                continue
            if len(self._barriers) == 1:
                raise SpecError(f"ext4 image of {self._geometry.block_count} blocks: the content does not fit")
            self._barriers.pop()
            self._cursor = barrier + length
        return runs

    def bitmap(self, group: int) -> tuple[bytes, int]:
        """A group's block bitmap, and how many blocks of the group are free. Bits beyond the last block are set."""
        start = self._geometry.group_start(group)
        length = self._geometry.group_blocks(group)
        bits = _ones(0, min(max(self._cursor - start, 0), length))
        for first, count in self._metadata:
            low, high = max(first - start, 0), min(first + count - start, length)
            if low < high:
                bits |= _ones(low, high)
        free = length - bits.bit_count()
        return (bits | _ones(length, BLOCKS_PER_GROUP)).to_bytes(BLOCKS_PER_GROUP // 8, "little"), free


def _ones(low: int, high: int) -> int:
    return (1 << high) - (1 << low)
