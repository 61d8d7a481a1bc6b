"""One tar stream with all that a guest needs to rebuild a checkout; its files are read, checked and sent in one go.

The stream ends with the script that acts on it: a stream that broke off holds none, and nothing can come of it.
"""

import os
import stat
import tarfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from hashlib import new as new_hash
from pathlib import Path

from banger.workspace.beneath import Tree, open_tree, read_link
from banger.workspace.layout import FOLDERS, git_files, new_refs
from banger.workspace.scan import CHUNK_BYTES, blob_id, changed_meanwhile
from banger.workspace.values import EXECUTABLE_MODE, SYMLINK_MODE, OverlayFile, Workspace

SCRIPT = Path(__file__).with_name("place.sh")
"""What runs in the guest. It documents the files of `meta/`."""

PROGRAM = ".git/banger/place"
"""Where in the guest's checkout the program is that keeps it up to date: banger/guest/src/place."""

_BLOCK_BYTES = 512
END = bytes(2 * _BLOCK_BYTES)


def write_archive(workspace: Workspace, bundles: Sequence[Path | None], program: Path) -> Generator[bytes, None, None]:
    """Yield the stream. `bundles`: the history of the checkout and of each of its parts, in turn; `program`: see
    PROGRAM.

    Raises ConflictError for a file that is no longer what was inspected, and as `Tree.open`.
    """
    left = iter(bundles)
    yield small(f"repo/{PROGRAM}", program.read_bytes(), 0o755)
    yield from _checkout(workspace, next(left), "")
    yield from _parts(workspace, left, "", "")
    yield small(SCRIPT.name, SCRIPT.read_bytes())
    yield END


def _parts(workspace: Workspace, bundles: Iterator[Path | None], place: str, number: str) -> Iterator[bytes]:
    """Yield the submodules below a checkout: `parts/1/`, its own `parts/1.1/`, and so on; `path` says where each
    goes."""
    for count, (path, part) in enumerate(workspace.parts, 1):
        name = f"{number}{count}"
        yield small(f"parts/{name}/path", encoded(place + path))
        yield from _checkout(part, next(bundles), f"parts/{name}/")
        yield from _parts(part, bundles, f"{place}{path}/", f"{name}.")


def _checkout(workspace: Workspace, bundle: Path | None, prefix: str) -> Iterator[bytes]:
    for name, content in _metadata(workspace).items():
        yield small(f"{prefix}meta/{name}", content)
    for folder in FOLDERS:
        yield _folder(f"{prefix}repo/.git/{folder}")
    for path in workspace.modules:
        yield _folder(f"{prefix}repo/{path}")
    for name, text in git_files(workspace).items():
        yield small(f"{prefix}repo/.git/{name}", encoded(text))
    if bundle is not None:
        yield from copy_file(bundle, f"{prefix}meta/bundle")
    with open_tree(workspace.repository.root) as tree:
        for file in workspace.overlay:
            yield from _overlay(tree, file, workspace.repository.object_format, prefix)


def _metadata(workspace: Workspace) -> dict[str, bytes]:
    """Return the files of `meta/`; what is not known has no file."""
    texts = {
        "refs": new_refs(workspace),
        "base": f"{workspace.base}\n" if workspace.base else None,
        "shallow": "".join(f"{oid}\n" for oid in workspace.shallow) or None,
        "unchanged": joined(workspace.unchanged),
        "added": joined(workspace.added),
    }
    return {name: encoded(text) for name, text in texts.items() if text is not None}


def encoded(text: str) -> bytes:
    """Return text that may hold paths as bytes."""
    return text.encode("utf-8", "surrogateescape")


def joined(paths: Iterable[str]) -> str:
    """Write paths as git reads them with -z."""
    return "".join(f"{path}\0" for path in paths)


def _overlay(tree: Tree, file: OverlayFile, object_format: str, prefix: str) -> Iterator[bytes]:
    """Yield one file of the checkout, its bytes checked against the object id that it had when it was inspected."""
    with tree.open(file.path) as opened:
        if opened is None:
            raise changed_meanwhile(tree, file.path)
        descriptor, status = opened
        is_link = stat.S_ISLNK(status.st_mode)
        if is_link != (file.mode == SYMLINK_MODE) or (not is_link and status.st_size != file.size):
            raise changed_meanwhile(tree, file.path)
        info = tarfile.TarInfo(f"{prefix}repo/{file.path}")
        if is_link:
            target = read_link(descriptor)
            if blob_id(object_format, len(target), target) != file.oid:
                raise changed_meanwhile(tree, file.path)
            info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, os.fsdecode(target)
            yield _header(info)
            return
        info.mode, info.size = 0o755 if file.mode == EXECUTABLE_MODE else 0o644, file.size
        yield _header(info)
        hasher = new_hash(object_format, b"blob %d\0" % file.size, usedforsecurity=False)
        left = file.size
        while chunk := os.read(descriptor, CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                break  # it grows: no more than the header says may follow it
            hasher.update(chunk)
            yield chunk
        if left != 0 or hasher.hexdigest() != file.oid:
            raise changed_meanwhile(tree, file.path)
        yield _padding(file.size)


def copy_file(path: Path, name: str) -> Iterator[bytes]:
    """Yield a file of ours as an entry."""
    info = tarfile.TarInfo(name)
    with path.open("rb") as file:
        info.size = os.fstat(file.fileno()).st_size
        yield _header(info)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
    yield _padding(info.size)


def small(name: str, content: bytes, mode: int = 0o644) -> bytes:
    """Return an entry with all of its content."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    return _header(info) + content + _padding(info.size)


def _folder(name: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return _header(info)


def _header(info: tarfile.TarInfo) -> bytes:
    """Write a header in GNU's format, in which a name is bytes of any length; owner 0, time 0."""
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK_BYTES)
