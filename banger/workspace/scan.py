"""Compare the files of a checkout with a commit by their bytes; no filter, no cached time stamps, no link followed."""

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from banger.model.errors import ConflictError
from banger.workspace.beneath import Tree, read_link
from banger.workspace.stamps import Stamps
from banger.workspace.values import EXECUTABLE_MODE, FILE_MODE, SYMLINK_MODE, OverlayFile

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Compared:
    """The paths of a checkout, sorted: those that differ, those that are gone, those that are the same."""

    overlay: tuple[OverlayFile, ...]
    deleted: tuple[str, ...]
    unchanged: tuple[str, ...]


def compare(
    tree: Tree,
    paths: Iterable[str],
    base: Mapping[str, tuple[int, str]],
    *,
    kept: frozenset[str],
    fixed_modes: Mapping[str, int],
    object_format: str,
    stamps: Stamps | None = None,
) -> Compared:
    """Compare the files at `paths` with `base`; a path of `base` that is not there is deleted, unless it is `kept`.

    `fixed_modes` are believed instead of the file's own (`core.fileMode` false). Files that `stamps` knows are not
    read. Raises SpecError that names a path
    which is not a file, or lies behind a symbolic link.
    """
    overlay: list[OverlayFile] = []
    unchanged = {path for path in kept if path in base}
    for path in sorted(paths):
        found = look(tree, path, object_format, stamps)
        if found is None:
            continue
        unchanged.discard(path)
        mode = fixed_modes.get(path, found.mode) if found.mode != SYMLINK_MODE else SYMLINK_MODE
        if base.get(path) == (mode, found.oid):
            unchanged.add(path)
        else:
            overlay.append(OverlayFile(path, mode, found.oid, found.size))
    unchanged -= _in_the_way(unchanged & kept, overlay)
    gone = set(base) - unchanged - {file.path for file in overlay}
    return Compared(tuple(overlay), tuple(sorted(gone)), tuple(sorted(unchanged)))


def _in_the_way(kept: set[str], overlay: list[OverlayFile]) -> set[str]:
    """Return the paths that are kept unseen, but cannot be where the checkout has a file or a directory."""
    if not kept:
        return set()
    files = {file.path for file in overlay}
    folders = {folder for path in files for folder in _above(path)}
    return {path for path in kept if path in folders or not files.isdisjoint(_above(path))}


def _above(path: str) -> list[str]:
    return [path[:index] for index, character in enumerate(path) if character == "/"]


def look(tree: Tree, path: str, object_format: str, stamps: Stamps | None = None) -> OverlayFile | None:
    """Return a file as git would name it; None if there is none. The object id is of the bytes as they are."""
    known = None if stamps is None else stamps.known(tree, path)
    if known is not None:
        status, oid = known
        return OverlayFile(path, _mode_of(status), oid, status.st_size)
    with tree.open(path) as opened:
        if opened is None:
            return None
        descriptor, status = opened
        if stat.S_ISLNK(status.st_mode):
            target = read_link(descriptor)
            oid = blob_id(object_format, len(target), target)
        else:
            oid = _hash_file(descriptor, status.st_size, tree, path, object_format)
        if stamps is not None:
            stamps.note(path, status, oid)
        return OverlayFile(path, _mode_of(status), oid, status.st_size)


def _mode_of(status: os.stat_result) -> int:
    if stat.S_ISLNK(status.st_mode):
        return SYMLINK_MODE
    return EXECUTABLE_MODE if status.st_mode & stat.S_IXUSR else FILE_MODE


def blob_id(object_format: str, size: int, content: bytes) -> str:
    """Return the object id of a blob (gitformat-loose(5)): the hash of ``blob <size>``, NUL and the content."""
    return hashlib.new(object_format, b"blob %d\0" % size + content, usedforsecurity=False).hexdigest()


def changed_meanwhile(tree: Tree, path: str) -> ConflictError:
    """Return the error for a file that was written while it was read."""
    return ConflictError(f"{tree.root / path} changed while it was read", hint="run the command again")


def _hash_file(descriptor: int, size: int, tree: Tree, path: str, object_format: str) -> str:
    hasher = hashlib.new(object_format, b"blob %d\0" % size, usedforsecurity=False)
    left = size
    while chunk := os.read(descriptor, CHUNK_BYTES):
        left -= len(chunk)
        if left < 0:
            break  # it grows, and may grow faster than we read
        hasher.update(chunk)
    if left != 0:
        raise changed_meanwhile(tree, path)
    return hasher.hexdigest()
