"""Put a pack and a new branch into the user's repository, without git, whose hooks and settings are the repository's
own.

Nothing is overwritten: the pack's name is the digest of what is in it, and the branch is made by link(2), which fails
if it is there. Directories are opened beneath the repository, and no link is followed.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from banger.model.errors import ConflictError, HostError, SpecError
from banger.workspace.beneath import Tree, open_tree
from banger.workspace.locate import Located
from banger.workspace.names import check_branch

_HEADS = "refs/heads"
_PACKED_BYTES = 1 << 28
_MOST_NUMBERS = 1000
_COPY_BYTES = 1 << 20


def free_name(located: Located, wanted: str) -> str:
    """Return the name, or the first of ``name-2``, ``name-3`` and so on, that no branch stands in the way of."""
    check_branch(wanted)
    with open_tree(located.repository.common_dir) as tree:
        packed = _packed_heads(tree)
        for number in range(1, _MOST_NUMBERS):
            name = wanted if number == 1 else f"{wanted}-{number}"
            if _obstacle(tree, packed, name) is None:
                return name
    raise ConflictError(
        f"{located.repository.root}: there is a branch {wanted} already", hint="choose another --branch"
    )


def make_branch(located: Located, name: str, commit: str, packs: Path) -> None:
    """Bring what is in the directory `packs` and make a branch. Raises ConflictError if something is in its way."""
    check_branch(name)
    if located.config.get("extensions.refstorage", ["files"])[-1].lower() != "files":
        raise SpecError(f"{located.repository.root} does not keep its branches in files", hint="use --patch FILE")
    with open_tree(located.repository.common_dir) as tree:
        obstacle = _obstacle(tree, _packed_heads(tree), name)
        if obstacle is not None:
            raise ConflictError(
                f"{located.repository.root}: there is a branch {obstacle} already", hint="choose another --branch"
            )
        for pack in sorted(packs.glob("pack-*.pack")):  # the index last: with it the pack counts
            for file in (pack, pack.with_suffix(".idx")):
                _bring(tree, file)
        _write_ref(tree, name, commit)


def _packed_heads(tree: Tree) -> set[str]:
    """Return the branches in packed-refs (git-pack-refs(1)): an id, a blank and a name in each line."""
    text = (tree.read_small("packed-refs", _PACKED_BYTES) or b"").decode("utf-8", "surrogateescape")
    refs = (line.partition(" ")[2] for line in text.splitlines() if line[:1] not in {"#", "^"})
    return {ref.removeprefix(f"{_HEADS}/") for ref in refs if ref.startswith(f"{_HEADS}/")}


def _obstacle(tree: Tree, packed: set[str], name: str) -> str | None:
    """Return the branch that has the name, or that is above or below it in the tree of names."""
    parts = name.split("/")
    for count in range(1, len(parts) + 1):
        above = "/".join(parts[:count])
        if above in packed:
            return above
        with tree.open(f"{_HEADS}/{above}") as opened:
            if opened is not None:
                return above
    folder = tree.open_folder(f"{_HEADS}/{name}")
    if folder is not None:
        os.close(folder)
        return f"{name}/…"
    return next((other for other in sorted(packed) if other.startswith(f"{name}/")), None)


def _bring(tree: Tree, file: Path) -> None:
    with _folder(tree, "objects/pack") as folder, suppress(FileExistsError):  # the same name is the same content
        new = f"tmp_banger_{os.urandom(6).hex()}"
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444, dir_fd=folder)
            with file.open("rb") as source, os.fdopen(descriptor, "wb") as target:
                while chunk := source.read(_COPY_BYTES):
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())
            os.link(new, file.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            os.fsync(folder)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=folder)


def _write_ref(tree: Tree, name: str, commit: str) -> None:
    """Make the ref as git does: under the name of its lock, then in its place; the lock keeps git out meanwhile."""
    above, _, last = f"{_HEADS}/{name}".rpartition("/")
    with _folder(tree, above, make_below=_HEADS) as folder:
        lock = f"{last}.lock"
        try:
            descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
        except FileExistsError:
            raise ConflictError(f"{tree.root}/{above}/{lock} is there: git is at work", hint="try again") from None
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(f"{commit}\n".encode("ascii"))
                file.flush()
                os.fsync(file.fileno())
            os.link(lock, last, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            os.fsync(folder)
        except FileExistsError:
            raise ConflictError(f"there is a branch {name} already", hint="choose another --branch") from None
        finally:
            os.unlink(lock, dir_fd=folder)


@contextmanager
def _folder(tree: Tree, path: str, make_below: str | None = None) -> Iterator[int]:
    """Open a directory of the repository to write in, making those below `make_below`. Raises HostError."""
    with ExitStack() as stack:
        place = make_below or path
        descriptor = _opened(tree, place, stack)
        for part in path.removeprefix(place).split("/") if make_below else ():
            if part:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=descriptor)
                place = f"{place}/{part}"
                descriptor = _opened(tree, place, stack)
        yield descriptor


def _opened(tree: Tree, path: str, stack: ExitStack) -> int:
    found = tree.open_folder(path, to_list=True)
    if found is None:
        raise HostError(f"{tree.root}/{path} is not a directory, or lies behind a symbolic link")
    stack.callback(os.close, found)
    return found
