"""Banger's own layer: what every image gets on top of those it came with."""

from pathlib import Path
from typing import Final

from banger.ext4.options import ExtraEntry, ImageOptions
from banger.guest.files import DIRECTORIES, GUEST_FILES, REMOVED_GLOBS
from banger.layers.options import Request, Seed
from banger.model.digest import Canonical, Digest, digest_of

_MODES: Final = {"/tmp": 0o1777, "/root": 0o700}  # noqa: S108 - paths of the image

EXTRA: Final = tuple(ExtraEntry(file.path.lstrip("/"), file.mode, content=file.content) for file in GUEST_FILES)
REMOVED: Final = tuple(pattern.lstrip("/") for pattern in REMOVED_GLOBS)
ENSURED: Final = tuple(ExtraEntry(path.lstrip("/"), _MODES.get(path, 0o755), kind="dir") for path in DIRECTORIES)


def guest_layer_digest() -> Digest:
    """Names banger's own layer: it changes when what every image gets on top does."""
    entries: list[Canonical] = [[entry.path, entry.mode, entry.kind, entry.content] for entry in (*EXTRA, *ENSURED)]
    return digest_of("banger.guest_layer", {"entries": entries, "removed": list(REMOVED)})


def banger_request(
    options: ImageOptions, *, seed: tuple[Path, ImageOptions] | None = None, extra: tuple[ExtraEntry, ...] = ()
) -> Request:
    """A request for an image that a VM can start from: host keys removed, banger's files put in, directories there.

    With `seed`, a path and options, what is in /root goes into an image of its own there instead. `extra` is put in
    besides.
    """
    return Request(
        options=ImageOptions(
            uuid=options.uuid,
            hash_seed=options.hash_seed,
            label=options.label,
            time=options.time,
            size_bytes=options.size_bytes,
            slack_bytes=options.slack_bytes,
            reserved_percent=options.reserved_percent,
            extra=(*options.extra, *EXTRA, *extra),
            remove=(*options.remove, *REMOVED),
            root_mode=options.root_mode,
        ),
        ensured=ENSURED,
        seed=None if seed is None else Seed(seed[0], "root", seed[1], is_moved=True),
    )
