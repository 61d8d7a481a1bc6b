"""What is to change in a guest's checkout, file by file, as banger-place reads it (banger/guest/src/place/place.h)."""

import os
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from hashlib import new as new_hash

from banger.model.errors import SpecError
from banger.workspace.beneath import Tree, read_link
from banger.workspace.record import Entry, Sent
from banger.workspace.scan import CHUNK_BYTES, blob_id, changed_meanwhile
from banger.workspace.values import EXECUTABLE_MODE, FILE_MODE, SYMLINK_MODE, Workspace

MAGIC = b"bplace1\n"
_KINDS = {FILE_MODE: 1, EXECUTABLE_MODE: 2, SYMLINK_MODE: 3}
_ABSENT = 0


@dataclass(frozen=True, slots=True)
class Change:
    """A path; what it may be in the guest now (None: nothing), and what it is to become."""

    path: str
    expected: tuple[Entry | None, ...]
    wanted: Entry | None


def changes(old: Sequence[tuple[Sent, Mapping[str, Entry]]], found: Workspace) -> tuple[Change, ...]:
    """Return what differs, sorted. `old`: states that the guest may be in, each with the files of its base."""
    new_overlay = {file.path: (file.mode, file.oid) for file in found.overlay}
    new_deleted = frozenset(found.deleted)
    paths = {*new_overlay, *new_deleted}
    for state, base_files in old:
        paths.update(state.overlay, state.deleted)
        if state.base != found.base:
            paths.update(path for path, _ in base_files.items() ^ found.base_files.items())
    states = [(state.overlay, frozenset(state.deleted), base_files) for state, base_files in old]
    result: list[Change] = []
    for path in sorted(paths):
        before = [_entry(path, *state) for state in states]
        wanted = _entry(path, new_overlay, new_deleted, found.base_files)
        if any(entry != wanted for entry in before):
            result.append(Change(path, tuple(dict.fromkeys([*before, wanted])), wanted))
    return tuple(result)


def _entry(
    path: str, overlay: Mapping[str, Entry], deleted: AbstractSet[str], base: Mapping[str, Entry]
) -> Entry | None:
    if path in overlay:
        return overlay[path]
    return None if path in deleted else base.get(path)


def write_plan(
    tree: Tree, found: Workspace, changed: Sequence[Change], states: Sequence[str], state: str
) -> Iterator[bytes]:
    """Yield the plan. `states`: what the checkout may say of itself now; `state`: what from now on (empty: the same).

    Raises ConflictError for a file that is no longer what was inspected, and as `Tree.open`.
    """
    object_format = found.repository.object_format
    width = len(blob_id(object_format, 0, b"")) // 2
    yield MAGIC + bytes([width])
    for one in states:
        yield b"w" + _text(one)
    for change in changed:
        head = b"c" + _text(change.path) + bytes([len(change.expected)])
        yield head + b"".join(_expected(entry, width) for entry in change.expected)
    for change in changed:
        if change.wanted is None:
            yield b"d" + _text(change.path)
        else:
            yield from _content(tree, change.path, change.wanted, object_format)
    yield b"e" + _text(state)


def _expected(entry: Entry | None, width: int) -> bytes:
    if entry is None:
        return bytes([_ABSENT]) + bytes(width)
    return bytes([_KINDS[entry[0]]]) + bytes.fromhex(entry[1])


def _text(text: str) -> bytes:
    data = os.fsencode(text)
    return struct.pack(">H", len(data)) + data


def _content(tree: Tree, path: str, wanted: Entry, object_format: str) -> Iterator[bytes]:
    mode, oid = wanted
    with tree.open(path) as opened:
        if opened is None:
            raise SpecError(
                f"{tree.root}: {path!r} is not checked out here (or has just gone), so it cannot be brought up to date",
                hint="banger vm workspace prepare --replace NAME PATH",
            )
        descriptor, status = opened
        if stat.S_ISLNK(status.st_mode) != (mode == SYMLINK_MODE):
            raise changed_meanwhile(tree, path)
        if mode == SYMLINK_MODE:
            target = read_link(descriptor)
            if blob_id(object_format, len(target), target) != oid:
                raise changed_meanwhile(tree, path)
            yield b"l" + _text(path) + _text(os.fsdecode(target))
            return
        yield b"f" + _text(path) + struct.pack(">BQ", mode == EXECUTABLE_MODE, status.st_size)
        hasher = new_hash(object_format, b"blob %d\0" % status.st_size, usedforsecurity=False)
        left = status.st_size
        while chunk := os.read(descriptor, CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                break  # it grows: no more than was announced may follow
            hasher.update(chunk)
            yield chunk
        if left != 0 or hasher.hexdigest() != oid:
            raise changed_meanwhile(tree, path)
