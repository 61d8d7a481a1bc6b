"""What git knows: the commits, the index, the trees and the untracked paths, each by one allowed command."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from banger.host.git import Repository, run_git
from banger.model.errors import NotFoundError, SpecError
from banger.workspace.beneath import open_tree
from banger.workspace.names import check_branch, check_path
from banger.workspace.values import TREE_MODE

PATH_LIMIT = 1_000_000
_SHOWN_BYTES = 500
_LONGEST_REF = 300
_HEAD_BYTES = 4096
_SHALLOW_BYTES = 16 * 1024 * 1024
_OID_BYTES = {"sha1": 20, "sha256": 32}
_BRANCHES = "refs/heads/"


@dataclass(frozen=True, slots=True)
class Head:
    """What is checked out: a commit (None: no commits yet) and a branch (None: detached)."""

    commit: str | None
    branch: str | None


@dataclass(frozen=True, slots=True)
class Tracked:
    """An entry of the index. `is_sparse`: git does not expect the file in the checkout (skip-worktree)."""

    mode: int
    is_sparse: bool


async def ask_git(repository: Repository, args: Sequence[str], stdin: bytes = b"") -> bytes:
    """Run an allowed command and return its output. Raises SpecError that says what git found wrong."""
    done = await run_git(repository, args, stdin=stdin)
    if done.status != 0:
        raise unreadable(repository, args[0], done.status, done.stderr)
    return done.stdout


def unreadable(repository: Repository, command: str, status: int, stderr: bytes) -> SpecError:
    """Return the error for a repository that git itself cannot make sense of, with what git said."""
    said = stderr[-_SHOWN_BYTES:].decode(errors="replace").strip() or f"git {command} ended with {status}"
    shown = "".join(character if character.isprintable() or character == "\n" else "?" for character in said)
    return SpecError(
        f"{repository.root}: git cannot read this repository:\n{shown}", hint=f"git -C {repository.root} fsck"
    )


async def read_head(repository: Repository) -> Head:
    """Return what is checked out. Raises SpecError if HEAD means nothing."""
    done = await run_git(repository, ["rev-parse", "-q", "--verify", "HEAD"])
    if done.status != 0:
        return Head(None, await _unborn_branch(repository))
    commit = await resolve_commit(repository, "HEAD")
    name = (await ask_git(repository, ["rev-parse", "--symbolic-full-name", "HEAD"])).decode(errors="replace").strip()
    return Head(commit, name.removeprefix(_BRANCHES) if name.startswith(_BRANCHES) else None)


async def _unborn_branch(repository: Repository) -> str:
    with open_tree(repository.git_dir) as tree:
        text = (tree.read_small("HEAD", _HEAD_BYTES) or b"").decode(errors="surrogateescape").strip()
    name = text.removeprefix("ref:").strip()
    if "\0" in name:
        raise unreadable(repository, "rev-parse", 0, b"HEAD is not text")
    done = await run_git(repository, ["rev-parse", "-q", "--verify", "--end-of-options", name])
    if not text.startswith("ref:") or not name.startswith(_BRANCHES) or done.status == 0 or done.stderr.strip():
        raise unreadable(repository, "rev-parse", done.status, done.stderr or b"HEAD names no branch and no commit")
    check_branch(name.removeprefix(_BRANCHES))
    if _is_there(repository.common_dir / name):
        raise unreadable(repository, "rev-parse", 0, f"{name} is there, but names no commit".encode())
    return name.removeprefix(_BRANCHES)


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


async def resolve_commit(repository: Repository, ref: str) -> str:
    """Return the commit that the user's words name. Raises NotFoundError."""
    if len(ref) > _LONGEST_REF or not ref.isprintable():
        raise NotFoundError(f"{ref[:80]!r} is not a commit")
    done = await run_git(repository, ["rev-parse", "-q", "--verify", "--end-of-options", ref + "^{commit}"])
    oid = done.stdout.decode(errors="replace").strip()
    if done.status != 0 or not _is_oid(oid, repository):
        raise NotFoundError(
            f"{ref[:80]!r} is not a commit in {repository.root}", hint=f"git -C {repository.root} branch -a"
        )
    return oid


def read_shallow(repository: Repository) -> tuple[str, ...]:
    """Return the commits at which a shallow clone's history ends (gitrepository-layout(5), `shallow`)."""
    with open_tree(repository.common_dir) as tree:
        text = (tree.read_small("shallow", _SHALLOW_BYTES) or b"").decode("ascii", "replace")
    lines = text.split()
    if not all(_is_oid(line, repository) for line in lines):
        raise SpecError(f"{repository.common_dir}/shallow holds something that is not an object id")
    return tuple(sorted(lines))


def _is_oid(text: str, repository: Repository) -> bool:
    digits = 2 * _OID_BYTES[repository.object_format]
    return len(text) == digits and not text.strip("0123456789abcdef")


async def read_index(repository: Repository) -> dict[str, Tracked]:
    """Return what the index tracks; an unmerged path counts once. Raises SpecError for impossible paths."""
    listing = await ask_git(repository, ["ls-files", "-z", "--stage", "-t"])
    tracked: dict[str, Tracked] = {}
    where = f"{repository.root}: the index"
    for line in listing.split(b"\0")[:-1]:
        fields, _, name = line.partition(b"\t")
        tag, mode = fields.split(b" ")[:2]
        path = name.decode("utf-8", "surrogateescape")
        tracked[check_path(path, where)] = Tracked(int(mode, 8), tag == b"S")
    _check_count(len(tracked), where)
    return tracked


async def read_untracked(repository: Repository, ignore: str | None) -> tuple[list[str], list[str]]:
    """Return the paths that are neither tracked nor ignored, and the repositories nested in this one.

    `ignore` is the content of the user's own ignore file, for all repositories.
    """
    args = ["ls-files", "-z", "-o", "--exclude-standard"]
    patterns = b""
    if ignore is not None:
        args.append("--exclude-from=/dev/stdin")
        patterns = ignore.encode("utf-8", "surrogateescape")
    listing = (await ask_git(repository, args, patterns)).decode("utf-8", "surrogateescape")
    paths = sorted(listing.split("\0")[:-1])
    where = f"{repository.root}: the list of untracked files"
    _check_count(len(paths), where)
    files = [check_path(path, where) for path in paths if not path.endswith("/")]
    return files, [path for path in paths if path.endswith("/")]


async def read_tree(repository: Repository, commit: str | None) -> dict[str, tuple[int, str]]:
    """Return path to (mode, object id) of a commit's files: one command for each level of directories."""
    if commit is None:
        return {}
    where = f"{repository.root}: commit {commit}"
    files: dict[str, tuple[int, str]] = {}
    level = [("", f"{commit}^{{tree}}")]
    while level:
        names = list(dict.fromkeys(name for _, name in level))
        output = await ask_git(repository, ["cat-file", "--batch"], "".join(f"{name}\n" for name in names).encode())
        trees = dict(zip(names, _objects(output, len(names), repository), strict=True))
        below: list[tuple[str, str]] = []
        for folder, name in level:
            for mode, part, oid in trees[name]:
                path = check_path(folder + part, where)
                if mode == TREE_MODE:
                    below.append((path + "/", oid))
                else:
                    files[path] = (mode, oid)
            _check_count(len(files) + len(below), where)
        level = below
    return files


def _objects(output: bytes, count: int, repository: Repository) -> list[list[tuple[int, str, str]]]:
    """Read what `cat-file --batch` prints: ``<oid> <type> <size>``, newline, content, newline."""
    trees: list[list[tuple[int, str, str]]] = []
    position = 0
    for _ in range(count):
        end = output.find(b"\n", position)
        header = output[position : max(end, position)].decode(errors="replace").split()
        if len(header) != 3 or header[1] != "tree" or not header[2].isdigit():  # noqa: PLR2004 - the three above
            raise unreadable(repository, "cat-file", 0, " ".join(header).encode() or b"a tree is missing")
        size = int(header[2])
        trees.append(_parse_tree(output[end + 1 : end + 1 + size], repository))
        position = end + size + 2
    return trees


def _parse_tree(content: bytes, repository: Repository) -> list[tuple[int, str, str]]:
    """Read a tree object: octal mode, space, name, NUL, object id; again and again."""
    width = _OID_BYTES[repository.object_format]
    entries: list[tuple[int, str, str]] = []
    position = 0
    while position < len(content):
        space = content.find(b" ", position)
        end = content.find(b"\0", space)
        if space < 0 or end < 0 or end + 1 + width > len(content):
            raise unreadable(repository, "cat-file", 0, b"a tree is cut short")
        try:
            mode = int(content[position:space], 8)
        except ValueError:
            raise unreadable(repository, "cat-file", 0, b"a tree holds a mode that is no number") from None
        name = content[space + 1 : end].decode("utf-8", "surrogateescape")
        if "/" in name:
            raise unreadable(repository, "cat-file", 0, b"a tree holds a name with a slash")
        entries.append((mode, name, content[end + 1 : end + 1 + width].hex()))
        position = end + 1 + width
    return entries


def _check_count(count: int, where: str) -> None:
    if count > PATH_LIMIT:
        raise SpecError(f"{where} names more than {PATH_LIMIT} paths")
