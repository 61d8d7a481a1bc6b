"""Where the metadata of an image lies: block groups, flexible groups, backups, and how large an image must be.

Source: kernel Documentation/filesystems/ext4, "Layout" and "Flexible Block Groups". It is the layout of mke2fs: blocks
of 4096 bytes, groups of 128 MiB, the bitmaps and inode tables of up to 16 groups together at the first of them, backups
of the superblock in groups 1 and the powers of 3, 5 and 7, and room behind every copy of the group descriptors so that
resize2fs can grow the image to 1 TiB without moving a block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from banger.ext4.options import SLACK_BYTES, SLACK_DIVISOR
from banger.model.errors import SpecError

BLOCK_BYTES = 4096
BLOCKS_PER_GROUP = 32768
DESCRIPTOR_BYTES = 64
INODE_BYTES = 256
INODES_PER_BLOCK = BLOCK_BYTES // INODE_BYTES
FIRST_INODE = 11
DESCRIPTORS_PER_BLOCK = BLOCK_BYTES // DESCRIPTOR_BYTES
_MAX_INODES_PER_GROUP = 32768
_USUAL_INODES_PER_GROUP = 8192
_INODE_STEP = 256
_GROWTH_DESCRIPTOR_BLOCKS = 128
_FLEX_METADATA_LIMIT = 16384
_LAST_GROUP_MIN_FREE = 64
_MIN_GROUP_BLOCKS = 1024


@dataclass(frozen=True)
class Geometry:
    """The shape of an image; every position follows from these three numbers. Positions are block numbers."""

    block_count: int
    inodes_per_group: int
    journal_blocks: int

    @cached_property
    def group_count(self) -> int:
        """How many block groups there are; the last may be short."""
        return -(-self.block_count // BLOCKS_PER_GROUP)

    @cached_property
    def inode_count(self) -> int:
        """How many inodes there are, used or not."""
        return self.group_count * self.inodes_per_group

    @cached_property
    def table_blocks(self) -> int:
        """Length of one group's inode table."""
        return self.inodes_per_group // INODES_PER_BLOCK

    @cached_property
    def descriptor_blocks(self) -> int:
        """Length of the group descriptors."""
        return -(-self.group_count // DESCRIPTORS_PER_BLOCK)

    @cached_property
    def reserved_descriptor_blocks(self) -> int:
        """Blocks behind the group descriptors into which these may grow."""
        return _GROWTH_DESCRIPTOR_BLOCKS - self.descriptor_blocks

    @cached_property
    def log_flex(self) -> int:
        """Binary logarithm of the number of groups whose metadata lies together."""
        log = 4
        while log and (2 + self.table_blocks) << log > _FLEX_METADATA_LIMIT:
            log -= 1
        return log

    @cached_property
    def backup_groups(self) -> tuple[int, ...]:
        """The groups besides 0 with a copy of the superblock and the group descriptors (`sparse_super`)."""
        return tuple(group for group in range(1, self.group_count) if has_superblock(group))

    def group_start(self, group: int) -> int:
        """The first block of a group."""
        return group * BLOCKS_PER_GROUP

    def group_blocks(self, group: int) -> int:
        """How many blocks a group has."""
        return min(BLOCKS_PER_GROUP, self.block_count - group * BLOCKS_PER_GROUP)

    def block_bitmap(self, group: int) -> int:
        """Where a group's block bitmap is."""
        first = self._flex_first(group)
        return self._flex_start(first) + group - first

    def inode_bitmap(self, group: int) -> int:
        """Where a group's inode bitmap is."""
        return self.block_bitmap(group) + self._flex_size(group)

    def inode_table(self, group: int) -> int:
        """Where a group's inode table begins."""
        first = self._flex_first(group)
        return self._flex_start(first) + 2 * self._flex_size(group) + (group - first) * self.table_blocks

    def inode_position(self, inode: int) -> int:
        """The byte of the image at which an inode begins."""
        group, index = divmod(inode - 1, self.inodes_per_group)
        return self.inode_table(group) * BLOCK_BYTES + index * INODE_BYTES

    def metadata(self) -> Iterator[tuple[int, int]]:
        """Yield (first block, length) of everything that is not for files, in order."""
        for group in range(self.group_count):
            length = self._superblock_area(group)
            if group == self._flex_first(group):
                length += self._flex_size(group) * (2 + self.table_blocks)
            if length:
                yield self.group_start(group), length

    def metadata_blocks(self) -> int:
        """How many blocks are not for files."""
        return sum(length for _, length in self.metadata())

    def _superblock_area(self, group: int) -> int:
        return 1 + _GROWTH_DESCRIPTOR_BLOCKS if has_superblock(group) else 0

    def _flex_first(self, group: int) -> int:
        return group >> self.log_flex << self.log_flex

    def _flex_size(self, group: int) -> int:
        return min(1 << self.log_flex, self.group_count - self._flex_first(group))

    def _flex_start(self, first: int) -> int:
        return self.group_start(first) + self._superblock_area(first)


def has_superblock(group: int) -> bool:
    """Whether a group has a copy of the superblock under `sparse_super`."""
    return group <= 1 or any(_is_power(group, base) for base in (3, 5, 7))


def plan_geometry(content_blocks: int, inodes: int, size_bytes: int | None, slack_bytes: int = SLACK_BYTES) -> Geometry:
    """Choose the shape for content of so many blocks and inodes (11 reserved ones included).

    Without `size_bytes`: with a quarter of the content and `slack_bytes` free.

    Raises SpecError if the content does not fit into `size_bytes`.
    """
    if size_bytes is not None:
        geometry = _geometry(size_bytes // BLOCK_BYTES, inodes)
        room = geometry.block_count - geometry.metadata_blocks() - geometry.journal_blocks
        if room < content_blocks or geometry.inode_count < inodes:
            raise SpecError(
                f"ext4 image of {size_bytes} bytes: too small: the content needs {content_blocks} blocks of 4096 bytes "
                f"and {inodes} inodes, and there is room for {max(room, 0)} blocks and {geometry.inode_count} inodes"
            )
        return geometry
    wanted = content_blocks + content_blocks // SLACK_DIVISOR + slack_bytes // BLOCK_BYTES
    blocks = wanted
    while True:
        geometry = _geometry(blocks, inodes)
        overhead = geometry.metadata_blocks() + geometry.journal_blocks
        if geometry.block_count >= wanted + overhead and geometry.inode_count >= inodes:
            return geometry
        blocks = max(wanted + overhead, geometry.block_count + _MIN_GROUP_BLOCKS)


def _geometry(blocks: int, inodes: int) -> Geometry:
    blocks = _without_short_group(blocks, inodes)
    groups = max(1, -(-blocks // BLOCKS_PER_GROUP))
    with_spare = inodes + inodes // SLACK_DIVISOR
    step = -(-with_spare // (groups * _INODE_STEP)) * _INODE_STEP
    per_group = min(_MAX_INODES_PER_GROUP, max(_USUAL_INODES_PER_GROUP, step))
    return Geometry(blocks, per_group, _journal_blocks(blocks))


def _without_short_group(blocks: int, inodes: int) -> int:
    """Leave out a last group that is too short for the metadata that would begin in it."""
    short = blocks % BLOCKS_PER_GROUP
    groups = blocks // BLOCKS_PER_GROUP
    if not short or not groups:
        return blocks
    tables = (2 + _MAX_INODES_PER_GROUP // INODES_PER_BLOCK) if inodes > blocks // 4 else 2 + 512
    needed = 1 + _GROWTH_DESCRIPTOR_BLOCKS + tables + _LAST_GROUP_MIN_FREE
    return blocks if short >= needed else groups * BLOCKS_PER_GROUP


def _journal_blocks(blocks: int) -> int:
    """The journal sizes of mke2fs (lib/ext2fs/mkjournal.c, ext2fs_default_journal_size), at most 64 MiB."""
    for limit, size in ((32768, 1024), (262144, 4096), (524288, 8192)):
        if blocks < limit:
            return size
    return 16384


def _is_power(number: int, base: int) -> bool:
    power = base
    while power < number:
        power *= base
    return power == number
