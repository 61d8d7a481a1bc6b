"""The shape of an image whose tables come last: like `Geometry`, but with tables wherever there was room for them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from banger.ext4.layout import Geometry, plan_geometry
from banger.ext4.options import SLACK_BYTES
from banger.layers.placer import Placer
from banger.model.errors import SpecError

_GROUP_BLOCKS = 32768


@dataclass(frozen=True)
class PlacedGeometry(Geometry):
    """A geometry with the first block of all block bitmaps, of all inode bitmaps, and of each inode table."""

    block_bitmaps: int = 0
    inode_bitmaps: int = 0
    tables: tuple[int, ...] = ()

    def block_bitmap(self, group: int) -> int:
        """Where a group's block bitmap is."""
        return self.block_bitmaps + group

    def inode_bitmap(self, group: int) -> int:
        """Where a group's inode bitmap is."""
        return self.inode_bitmaps + group

    def inode_table(self, group: int) -> int:
        """Where a group's inode table begins."""
        return self.tables[group]

    def metadata(self) -> Iterator[tuple[int, int]]:
        """Yield (first block, length) of everything that is not for files."""
        yield from ((self.group_start(group), self._superblock_area(group)) for group in (0, *self.backup_groups))
        yield self.block_bitmaps, self.group_count
        yield self.inode_bitmaps, self.group_count
        yield from ((table, self.table_blocks) for table in self.tables)


def shape(
    placer: Placer, content_blocks: int, inodes: int, size_bytes: int | None, slack_bytes: int = SLACK_BYTES
) -> Geometry:
    """Choose a shape with room for what is placed and for the tables and the journal, which are not yet.

    Raises SpecError if the content does not fit into `size_bytes`.
    """
    geometry = plan_geometry(content_blocks, inodes, size_bytes, slack_bytes)
    while (end := _end(geometry, placer)) > geometry.block_count:
        if size_bytes is not None:
            raise SpecError(
                f"ext4 image of {size_bytes} bytes: too small: what the layers hold reaches up to block {end} of 4096 "
                f"bytes, and there are {geometry.block_count}"
            )
        blocks = geometry.block_count + max(end - geometry.block_count, 1024)
        geometry = plan_geometry(0, inodes, (blocks + _short_by(blocks)) * 4096)
    return geometry


def place_tables(geometry: Geometry, placer: Placer) -> PlacedGeometry:
    """Take the blocks of the tables."""
    plain = PlacedGeometry(geometry.block_count, geometry.inodes_per_group, geometry.journal_blocks)
    return replace(
        plain,
        block_bitmaps=placer.take_whole(geometry.group_count),
        inode_bitmaps=placer.take_whole(geometry.group_count),
        tables=tuple(placer.take_whole(geometry.table_blocks) for _ in range(geometry.group_count)),
    )


def _end(geometry: Geometry, placer: Placer) -> int:
    """A bound of where the last block will be."""
    wanted = geometry.group_count * (2 + geometry.table_blocks) + geometry.journal_blocks
    crossings = 3 + wanted // _GROUP_BLOCKS
    return placer.cursor + wanted + crossings * (129 + geometry.table_blocks)


def _short_by(blocks: int) -> int:
    """What a last group that is too short for its own tables lacks: `plan_geometry` would leave it out."""
    short = blocks % _GROUP_BLOCKS
    return 4096 - short if 0 < short < 4096 else 0  # noqa: PLR2004
