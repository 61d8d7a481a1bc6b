"""The disk files of a VM: its root is an overlay on an image that many VMs share and none may change."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import anyio.to_thread

from banger.host.sparse import copy_sparse
from banger.model.errors import HostError
from banger.vm.qcow2 import read_overlay, set_backing, write_overlay

_SECTOR_BYTES = 512


async def create_overlay(base: Path, dest: Path, *, size_bytes: int | None = None) -> None:
    """Make a qcow2 file that reads as the raw image `base` and keeps what is written; replaces what is at `dest`.

    `size_bytes` makes the disk larger than its base. Raises HostError, leaving no `dest` that was not there before.
    """
    await anyio.to_thread.run_sync(_create_overlay, base, dest, size_bytes)


def _create_overlay(base: Path, dest: Path, size_bytes: int | None) -> None:
    base_bytes = _check_base(base, size_bytes)
    made = dest.with_name(f".{dest.name}.new")
    made.unlink(missing_ok=True)
    try:
        write_overlay(made, base.absolute(), size_bytes or base_bytes)
        made.replace(dest)
    finally:
        made.unlink(missing_ok=True)


def lay_delta(delta: Path, base: Path, dest: Path) -> None:
    """Make a copy of an overlay without a base, and lay it on `base`; replaces what is at `dest`. Raises HostError."""
    made = dest.with_name(f".{dest.name}.new")
    made.unlink(missing_ok=True)
    try:
        shutil.copyfile(delta, made)
        made.chmod(0o600)
        set_backing(made, base.absolute())
        made.replace(dest)
    except OSError as error:
        raise HostError(f"disk {dest}: {error.strerror}") from error
    finally:
        made.unlink(missing_ok=True)


def copy_overlay(source: Path, dest: Path, between: Callable[[], None]) -> None:
    """Make a copy of an overlay, without a base; `dest` must not exist. Nobody may write to it. Raises HostError."""
    try:
        with source.open("rb") as inner, dest.open("xb") as outer:
            copy_sparse(inner.fileno(), outer.fileno(), between)
    except OSError as error:
        raise HostError(f"disk {source}: cannot be copied: {error.strerror}") from error
    set_backing(dest, None)


def _check_base(base: Path, size_bytes: int | None) -> int:
    if not base.is_file():
        raise HostError(f"image {base}: not a file")
    base_bytes = base.stat().st_size
    if base_bytes == 0 or base_bytes % _SECTOR_BYTES:
        # QEMU would round a raw image down to whole sectors and the guest would miss its end.
        raise HostError(f"image {base}: {base_bytes} bytes are not whole sectors of {_SECTOR_BYTES}")
    if size_bytes is not None and size_bytes < base_bytes:
        raise HostError(f"image {base}: its {base_bytes} bytes do not fit a disk of {size_bytes}")
    return base_bytes


def create_empty(dest: Path, size_bytes: int) -> None:
    """Make a raw disk of zeroes that takes no space yet. Raises FileExistsError: no disk is emptied by accident."""
    descriptor = os.open(dest, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, size_bytes)
    finally:
        os.close(descriptor)


def check_overlay(path: Path, base: Path) -> int:
    """Return the size in bytes of an overlay if it is a qcow2 file on `base`. Raises HostError."""
    overlay = read_overlay(path)
    if overlay.backing != os.fsencode(base.absolute()):
        raise HostError(f"disk {path}: it lies on {os.fsdecode(overlay.backing)[:200]!r}, not on {base}")
    return overlay.size_bytes


def overlay_size(path: Path) -> int:
    """Return the size in bytes that a guest sees of an overlay, whatever it lies on. Raises HostError."""
    return read_overlay(path).size_bytes
