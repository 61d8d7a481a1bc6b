"""What is found, as a tar stream in pieces, and what was said about it on the way."""

import os
import tarfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from banger.filesync.walk import Item, walk
from banger.model.config import ROOT_HOME, FileSync
from banger.model.errors import ConflictError, HostError

PIECE_BYTES = 256 * 1024
_BLOCK_BYTES = 512
_OLDEST = 86400
"""tar(1) complains of files that are older than computers."""


@dataclass(slots=True)
class Copied:
    """What went into the stream so far. `warnings`: one line each, for the log and for the user."""

    files: int = 0
    size_bytes: int = 0
    warnings: list[str] = field(default_factory=list)


class Copying:
    """The files of some entries, for one guest. `done` grows while `pieces` are taken."""

    def __init__(self, entries: tuple[FileSync, ...], home: str) -> None:
        self._entries = entries
        self._home = home
        self.done = Copied()

    def pieces(self) -> Generator[bytes]:
        """Yield the stream in pieces worth sending; names are relative to root's home. Raises as `walk` does."""
        pending = bytearray()
        for data in self._blocks():
            pending += data
            if len(pending) >= PIECE_BYTES:
                yield bytes(pending)
                pending.clear()
        yield bytes(pending)

    def _blocks(self) -> Iterator[bytes]:
        for item in walk(self._entries, self._home, self.done.warnings.append):
            yield _header(item)
            if item.is_directory:
                continue
            yield from self._content(item)
            yield bytes(-item.status.st_size % _BLOCK_BYTES)
            self.done.files += 1
        yield bytes(2 * _BLOCK_BYTES)

    def _content(self, item: Item) -> Iterator[bytes]:
        left = item.status.st_size
        try:
            while left and (data := os.read(item.descriptor, min(left, PIECE_BYTES))):
                left -= len(data)
                self.done.size_bytes += len(data)
                yield data
            size = os.fstat(item.descriptor).st_size
        except OSError as error:
            raise HostError(f"file_sync: {item.host}: {error.strerror}", hint="banger config show") from error
        if left or size != item.status.st_size:
            raise ConflictError(f"file_sync: {item.host} changed while it was read", hint="try again")


def _header(item: Item) -> bytes:
    """A header in GNU's format, in which a name is bytes of any length. Everything is root's."""
    info = tarfile.TarInfo(item.guest.removeprefix(f"{ROOT_HOME}/"))
    info.mode = item.mode
    info.mtime = max(int(item.status.st_mtime), _OLDEST)
    if item.is_directory:
        info.type = tarfile.DIRTYPE
    else:
        info.size = item.status.st_size
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
