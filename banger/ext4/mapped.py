"""Make a tar addressable: a file is mapped, a stream is first copied to an unnamed file beside the image."""

import contextlib
import io
import mmap
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from banger.model.errors import HostError, NotFoundError, SpecError

_COPY_BYTES = 1 << 20


@contextlib.contextmanager
def mapped(source: BinaryIO | Path, scratch: Path) -> Iterator[mmap.mmap]:
    """Yield the bytes of an uncompressed tar. Raises SpecError if it is empty, NotFoundError or HostError otherwise."""
    with contextlib.ExitStack() as stack:
        if isinstance(source, Path):
            stream: BinaryIO = stack.enter_context(_opened(source))
        elif _is_whole_file(source):
            stream = source
        else:
            stream = stack.enter_context(_spooled(source, scratch))
        size = os.fstat(stream.fileno()).st_size
        if size == 0:
            raise SpecError("tar: it is empty")
        # Not closed here: after a failure the traceback still holds views of it. It ends with its last reference.
        tar = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ)
        tar.madvise(mmap.MADV_SEQUENTIAL)
        yield tar


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such tar") from error
    except OSError as error:
        raise HostError(f"{path}: cannot be read: {error.strerror}") from error


def _is_whole_file(source: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(source.fileno()).st_mode) and source.tell() == 0
    except (OSError, AttributeError, io.UnsupportedOperation):
        return False


def _spooled(source: BinaryIO, scratch: Path) -> BinaryIO:
    try:
        spool = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - the caller closes it
        shutil.copyfileobj(source, spool, _COPY_BYTES)
        spool.flush()
    except OSError as error:
        raise HostError(f"{scratch}: cannot hold a copy of the tar: {error.strerror}") from error
    return spool
