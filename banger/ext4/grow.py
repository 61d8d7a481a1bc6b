"""Clone an image without writing its holes, and grow one that is not mounted.

A clone is a reflink where the file system can, else a copy of the data between the holes. Growing is one run of
resize2fs: images written here keep room for more group descriptors, so that no block has to move.
"""

import contextlib
import os
import struct
from pathlib import Path

import anyio.from_thread
import anyio.to_thread

from banger.ext4.superblock import SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET
from banger.host.confined import run_confined
from banger.host.process import Finished, run
from banger.host.sparse import copy_sparse
from banger.host.tools import get_tool
from banger.model.errors import HostError, NotFoundError, SpecError

_DEADLINE_S = 120.0
_MAGIC = 0xEF53
_CLEAN = 1
_HAS_ERRORS = 2
_NEEDS_RECOVERY = 0x4
_E2FSCK_FIXED = 1


async def clone_sparse(src: Path, dest: Path) -> None:
    """Make `dest`, which must not exist, a copy of `src` with the same holes; it is not fsynced.

    Raises NotFoundError if `src` is missing, HostError if the host refuses; then there is no `dest`.
    """
    await anyio.to_thread.run_sync(_clone, src, dest)


async def grow(image: Path, size_bytes: int, *, foreign: bool = False) -> None:
    """Grow an image and its file system to `size_bytes`; one of this size already is only checked.

    An image that its guest did not unmount is repaired first, as at a boot. `foreign`: a guest has written it, so that
    e2fsprogs must be able to reach nothing else. Raises NotFoundError if there is no such
    file, SpecError if it is no ext4 or is larger, HostError if it cannot be repaired or resize2fs fails.
    """
    is_clean = await anyio.to_thread.run_sync(_prepare, image, size_bytes)
    if not is_clean:
        await _repair(image, size_bytes, foreign=foreign)
    # -f: resize2fs wants a full e2fsck of whatever was mounted since the last one; the state was looked at above.
    resized = await _run("resize2fs", "-f", image, size_bytes, foreign=foreign)
    resized.check(f"{image}: cannot be grown to {size_bytes} bytes")


async def repair(image: Path) -> None:
    """See to it that an image is as one that its guest has unmounted. Raises SpecError, HostError."""
    size_bytes = image.stat().st_size  # noqa: ASYNC240 - a look
    if not await anyio.to_thread.run_sync(_prepare, image, size_bytes):
        await _repair(image, size_bytes, foreign=False)


async def _repair(image: Path, size_bytes: int, *, foreign: bool) -> None:
    checked = await _run("e2fsck", "-fp", image, size_bytes, foreign=foreign)
    if checked.status > _E2FSCK_FIXED:
        raise HostError(
            f"{image}: the file system is damaged and e2fsck cannot repair it alone", hint=f"e2fsck -f {image}"
        )


def check_ext4(image: Path) -> None:
    """Raise SpecError unless a file begins as an ext4 image does, HostError if it cannot be read."""
    try:
        with image.open("rb") as file:
            _is_clean(file.read(SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES), image)
    except OSError as error:
        raise HostError(f"{image}: cannot be read: {error.strerror}") from error


async def _run(tool: str, option: str, image: Path, size_bytes: int, *, foreign: bool) -> Finished:
    if foreign:
        return await run_confined(get_tool(tool), [option], image, file_bytes=size_bytes, deadline_s=_DEADLINE_S)
    return await run([get_tool(tool), option, image], deadline_s=_DEADLINE_S)


def _clone(src: Path, dest: Path) -> None:
    try:
        source = os.open(src, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFoundError(f"{src}: no such image") from error
    except OSError as error:
        raise HostError(f"{src}: cannot be read: {error.strerror}") from error
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, source)
        try:
            target = os.open(dest, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HostError(f"{dest}: cannot be made: {error.strerror}") from error
        stack.callback(os.close, target)
        try:
            copy_sparse(source, target, anyio.from_thread.check_cancelled)
        except OSError as error:
            dest.unlink()
            raise HostError(f"{dest}: cannot be copied from {src}: {error.strerror}") from error
        except BaseException:
            dest.unlink()
            raise


def _prepare(image: Path, size_bytes: int) -> bool:
    """Make the file longer; return whether the file system can be grown as it is."""
    try:
        with image.open("r+b") as file:
            is_clean = _is_clean(file.read(SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES), image)
            present = os.fstat(file.fileno()).st_size
            if present > size_bytes:
                raise SpecError(f"{image}: has {present} bytes and cannot become smaller ({size_bytes} bytes)")
            os.ftruncate(file.fileno(), size_bytes)
    except FileNotFoundError as error:
        raise NotFoundError(f"{image}: no such image") from error
    except OSError as error:
        raise HostError(f"{image}: cannot be grown: {error.strerror}") from error
    return is_clean


def _is_clean(head: bytes, image: Path) -> bool:
    """Read s_magic, s_state and s_feature_incompat (kernel Documentation/filesystems/ext4, "Super Block")."""
    superblock = head[SUPERBLOCK_OFFSET:].ljust(SUPERBLOCK_BYTES, b"\0")
    magic, state = struct.unpack_from("<HH", superblock, 0x38)
    (incompatible,) = struct.unpack_from("<I", superblock, 0x60)
    if magic != _MAGIC:
        raise SpecError(f"{image}: not an ext4 image")
    return bool(state & _CLEAN and not state & _HAS_ERRORS and not incompatible & _NEEDS_RECOVERY)
