"""What files held when they were last read, so that a file which has not been written since is not read again.

A file is taken to be the same if its device, inode, size, mode and both of its times are. As in git's index, a file
whose times are so new that it could be written again without their changing is not remembered.
"""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from banger.workspace.beneath import Tree

FORMAT = 1
_COARSEST_NS = 2_000_000_000
"""How far apart the time stamps of two writes may be and be equal: of FAT, the coarsest that anybody works on."""

Key = tuple[int, int, int, int, int, int]


class _Stamp(msgspec.Struct, array_like=True, frozen=True):
    key: Key
    oid: str


class _Kept(msgspec.Struct, frozen=True):
    format: int
    root: str
    object_format: str
    stamps: dict[bytes, _Stamp]
    commit: str | None = None
    files: dict[bytes, tuple[int, str]] = {}


def key_of(status: os.stat_result) -> Key:
    """What must be equal."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mode, status.st_mtime_ns, status.st_ctime_ns)


class Stamps:
    """Object ids by path and stamp, for one checkout; and the files of one commit, which never change.

    `begun_ns`: the wall clock before anything is read.
    """

    def __init__(self, root: Path, object_format: str, begun_ns: int, kept: _Kept | None = None) -> None:
        self._root = root
        self._object_format = object_format
        self._begun_ns = begun_ns
        self._kept = kept.stamps if kept else {}
        self._commit = kept.commit if kept else None
        self._files = kept.files if kept else {}
        self._seen: dict[bytes, _Stamp] = {}
        self._folder: tuple[str, int] | None = None

    @classmethod
    def load(cls, file: Path | None, root: Path, object_format: str, begun_ns: int) -> "Stamps":
        """Read what was kept; a file that is absent, damaged or of another checkout counts as empty."""
        if file is not None:
            with suppress(OSError, msgspec.MsgspecError):
                kept = msgspec.msgpack.decode(file.read_bytes(), type=_Kept)
                if (kept.format, kept.root, kept.object_format) == (FORMAT, os.fsencode(root).hex(), object_format):
                    return cls(root, object_format, begun_ns, kept)
        return cls(root, object_format, begun_ns)

    def save(self, file: Path) -> None:
        """Keep what was seen. Another reader sees all of it or what was there before."""
        root = os.fsencode(self._root).hex()
        kept = _Kept(FORMAT, root, self._object_format, self._seen, self._commit, self._files)
        new = file.with_name(f"{file.name}.new")
        new.write_bytes(msgspec.msgpack.encode(kept))
        new.replace(file)

    def files_of(self, commit: str) -> dict[str, tuple[int, str]] | None:
        """Return the files of a commit, if it is the one that was noted."""
        if commit != self._commit:
            return None
        return {os.fsdecode(path): entry for path, entry in self._files.items()}

    def note_files(self, commit: str, files: Mapping[str, tuple[int, str]]) -> None:
        """Remember the files of a commit."""
        self._commit = commit
        self._files = {os.fsencode(path): entry for path, entry in files.items()}

    def known(self, tree: Tree, path: str) -> tuple[os.stat_result, str] | None:
        """Return status and object id of a file that is as it was; None if it must be read. Ask in sorted order."""
        stamp = self._kept.get(os.fsencode(path))
        if stamp is None:
            return None
        folder, _, name = path.rpartition("/")
        if self._folder is None or self._folder[0] != folder:
            self.close()
            descriptor = tree.open_folder(folder)
            if descriptor is None:
                return None
            self._folder = (folder, descriptor)
        try:
            status = os.stat(name, dir_fd=self._folder[1], follow_symlinks=False)
        except OSError:
            return None
        if key_of(status) != stamp.key:
            return None
        self._seen[os.fsencode(path)] = stamp
        return status, stamp.oid

    def note(self, path: str, status: os.stat_result, oid: str) -> None:
        """Remember what was read, unless it may be written again under the same stamp."""
        newest = max(status.st_mtime_ns, status.st_ctime_ns)
        if newest < self._begun_ns - _COARSEST_NS and not stat.S_ISDIR(status.st_mode):
            self._seen[os.fsencode(path)] = _Stamp(key_of(status), oid)

    def close(self) -> None:
        """Let go of the directory that was looked in last."""
        if self._folder is not None:
            os.close(self._folder[1])
            self._folder = None
