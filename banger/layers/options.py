"""What a caller says about an image's layers, and what it is told when they are one image."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from banger.ext4.options import MAX_IMAGE_BYTES, MAX_INODES, ExtraEntry, ImageOptions, ImageStats


class Compression(StrEnum):
    """How the tar of a layer is packed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer's blob: where it is, how it is packed, and the sha256 (64 hexadecimal digits) of the tar in it.

    `digest` is the sha256 of the blob as it is stored; None if the caller has verified it.
    """

    path: Path
    compression: Compression
    diff_id: str
    digest: str | None = None

    @property
    def label(self) -> str:
        """How messages name the layer."""
        return f"layer {(self.digest or self.diff_id)[:12]}"


@dataclass(frozen=True, slots=True)
class Limits:
    """What an image may cost. Whoever passes one gets a SpecError that names it.

    ratio: bytes of tar for each byte of blob, once a layer has more than `ratio_grace_bytes` of tar.
    """

    layers: int = 1000
    entries: int = MAX_INODES
    tar_bytes: int = MAX_IMAGE_BYTES
    ratio: int = 200
    ratio_grace_bytes: int = 32 << 20
    gzip_members: int = 4_000_000


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Seed:
    """A second, small image of one directory of the first: what a VM's work disk begins with.

    path: where to write it; larger than `options.size_bytes` if what it holds needs that. subtree: the directory,
        relative to the image's root; a symlink to one is followed.
    options: as of any image; its `subtree` is not used. is_moved: whether the first image loses what is below.
    """

    path: Path
    subtree: str
    options: ImageOptions
    is_moved: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """All that decides the bytes of an image besides the layers.

    options: as for an image of one tar, but that times are kept as they are, however late.
    ensured: entries put where the layers have nothing; a symlink to a directory counts as a directory.
    """

    options: ImageOptions
    ensured: tuple[ExtraEntry, ...] = ()
    seed: Seed | None = None
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True)
class Facts:
    """What an image says it is, and what is in it: text of strangers, bounded, for decisions that banger takes.

    os_ids: `ID` and then `ID_LIKE` of its os-release(5), the nearest first; also `VERSION_ID` and `PRETTY_NAME`.
    """

    os_ids: tuple[str, ...] = ()
    version: str = ""
    codename: str = ""
    name: str = ""
    has_sshd: bool = False


@dataclass(frozen=True, slots=True)
class Flattened:
    """What was written."""

    image: ImageStats
    seed: ImageStats | None = None
    facts: Facts = Facts()
