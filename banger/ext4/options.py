"""What a caller may say about an image, and what it is told when the image is written."""

from dataclasses import dataclass
from typing import Literal

from banger.model.errors import SpecError

MAX_INODES = 2_000_000
MAX_IMAGE_BYTES = 64 * 1024**3
SLACK_BYTES = 64 * 1024**2
SLACK_DIVISOR = 4
"""An image without a stated size has its content, a quarter of it, and `SLACK_BYTES` or what is asked for free."""

_UUID_BYTES = 16
_LABEL_BYTES = 16
_LAST_SECOND = (1 << 32) - 1
_PERMISSIONS = 0o7777
_ID_LIMIT = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class ExtraEntry:
    """An entry of the image that is not in the tar, or stands in the place of the tar's.

    `path` is a path of the image; `content` holds a file's bytes or a symlink's target. A directory keeps what the tar
    has below it.
    """

    path: str
    mode: int
    uid: int = 0
    gid: int = 0
    kind: Literal["file", "symlink", "dir"] = "file"
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """Everything besides the tar that decides the bytes of an image.

    time: seconds since 1970; every time of the file system itself, and the latest time that an inode may have.
    size_bytes: the image's size; None leaves the content, a quarter of it and `slack_bytes`.
    remove: patterns of the tar's paths that are dropped with what is below them. `*` and `?` do not match `/`; a
        component `**` matches any number of components, so that `root/**` empties `root` and keeps it.
    subtree: only what is below this directory of the tar is written, as the image's root.
    extra: entries put into the image, after `remove` and `subtree`.
    root_mode: permissions of the root directory if the tar has no entry for it.
    """

    uuid: bytes
    hash_seed: bytes
    label: str = ""
    time: int = 0
    size_bytes: int | None = None
    slack_bytes: int = SLACK_BYTES
    reserved_percent: int = 0
    extra: tuple[ExtraEntry, ...] = ()
    remove: tuple[str, ...] = ()
    subtree: str = ""
    root_mode: int = 0o755

    def check(self) -> None:
        """Raise SpecError that names the first option with a value that ext4 or banger cannot take."""
        checks = (
            (len(self.uuid) == _UUID_BYTES, "uuid: must be 16 bytes"),
            (len(self.hash_seed) == _UUID_BYTES, "hash_seed: must be 16 bytes"),
            (len(self.label.encode()) <= _LABEL_BYTES, "label: must be at most 16 bytes"),
            (0 <= self.time <= _LAST_SECOND, "time: must be between 1970 and 2106"),
            (self.size_bytes is None or 0 < self.size_bytes <= MAX_IMAGE_BYTES, "size_bytes: must be at most 64 GiB"),
            (0 <= self.slack_bytes <= MAX_IMAGE_BYTES, "slack_bytes: must be at most 64 GiB"),
            (0 <= self.reserved_percent <= 50, "reserved_percent: must be between 0 and 50"),  # noqa: PLR2004
            (0 <= self.root_mode <= _PERMISSIONS, "root_mode: must be between 0 and 07777"),
        )
        for holds, message in checks:
            if not holds:
                raise SpecError(f"ext4 option {message}")
        for entry in self.extra:
            if not (0 <= entry.mode <= _PERMISSIONS and 0 <= entry.uid < _ID_LIMIT and 0 <= entry.gid < _ID_LIMIT):
                raise SpecError(f"ext4 option extra: {entry.path}: mode, uid or gid is out of range")


@dataclass(frozen=True, slots=True)
class ImageStats:
    """What was written: used inodes, used blocks of 4096 bytes, the image's size, and how much of it is not a hole."""

    inodes: int
    blocks: int
    size_bytes: int
    written_bytes: int
