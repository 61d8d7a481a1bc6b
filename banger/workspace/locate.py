"""Find the repository that encloses a path, without asking git, and refuse one that reaches outside of itself.

git would believe what it finds: a `.git` file that names somebody else's repository, `core.worktree` that names the
user's keys, `objects/info/alternates` that names every object on the disk. Here `.git` is a directory of the user's,
or the file of a linked worktree or submodule whose repository names this very directory in turn.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from banger.host.git import Repository
from banger.model.errors import NotFoundError, SpecError
from banger.workspace.beneath import open_tree
from banger.workspace.config import FILE_LIMIT_BYTES, Values, is_true, parse_config

_SMALL_BYTES = 64 * 1024
_FORMATS = ("sha1", "sha256")
_LARGE_BYTES = 4 << 30
_OWN_FILES = {"HEAD": _SMALL_BYTES, "index": _LARGE_BYTES}
_COMMON_FILES = {
    "config": FILE_LIMIT_BYTES,
    "packed-refs": _LARGE_BYTES,
    "shallow": 16 * FILE_LIMIT_BYTES,
    "info/attributes": FILE_LIMIT_BYTES,
    "info/exclude": FILE_LIMIT_BYTES,
    "info/sparse-checkout": 16 * FILE_LIMIT_BYTES,
    "objects/info/alternates": _SMALL_BYTES,
    "objects/info/commit-graph": _LARGE_BYTES,
}
"""What git reads of its own files, and how much of each at most. `info/` of a worktree is the common one."""


@dataclass(frozen=True, slots=True)
class Located:
    """A repository and its own configuration, in which nothing has been included or acted on."""

    repository: Repository
    config: Values


def locate(path: Path, *, owner: int | None = None) -> Located:
    """Find the repository around `path`, owned by `owner` (a uid; default: ours).

    Raises NotFoundError if there is none, SpecError that says what is wrong with the one there is.
    """
    uid = os.getuid() if owner is None else owner
    start = _start(path)
    for folder in (start, *start.parents):
        entry = folder / ".git"
        if _mode(entry) is not None:
            return _open(folder, entry, uid)
        if _is_git_directory(folder):
            raise SpecError(
                f"{folder} is a bare repository: it has no files to work on",
                hint=f"git -C {folder} worktree add ../checkout",
            )
    raise NotFoundError(f"{path} is not inside a git repository", hint=f"git -C {start} init")


def _start(path: Path) -> Path:
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise NotFoundError(f"{path}: {getattr(error, 'strerror', None) or 'symbolic links without end'}") from error
    return real if real.is_dir() else real.parent


def _open(root: Path, entry: Path, uid: int) -> Located:
    mode = _mode(entry)
    assert mode is not None
    if stat.S_ISLNK(mode):
        raise SpecError(f"{entry} is a symbolic link; banger reads only a repository that lies in its own tree")
    _check_owner(root, uid)
    _check_owner(entry, uid)
    if stat.S_ISDIR(mode):
        git_dir = common_dir = entry
        if _mode(entry / "commondir") is not None:
            raise SpecError(f"{entry} has a file commondir, which only a linked worktree has")
    elif stat.S_ISREG(mode):
        git_dir, common_dir = _follow(root, entry, uid)
    else:
        raise SpecError(f"{entry} is neither a directory nor a file")
    if not _is_git_directory(common_dir):
        raise SpecError(
            f"{entry} is not a git repository: HEAD, objects or refs is missing", hint=f"git -C {root} fsck"
        )
    _check_files(git_dir, common_dir)
    config = _read_config(common_dir)
    if git_dir == common_dir == entry and is_true(config, "core.bare", default=False):
        raise SpecError(f"{root} is marked as a bare repository", hint=f"git -C {root} config core.bare false")
    _check_alternates(root, common_dir)
    return Located(Repository(root, git_dir, common_dir, _object_format(config, root)), config)


def _follow(root: Path, entry: Path, uid: int) -> tuple[Path, Path]:
    """Follow a `.git` file: a worktree's (gitrepository-layout(5), "worktrees") or a submodule's."""
    text = _read(root, ".git") or ""
    target = text.removeprefix("gitdir:").strip()
    if not text.startswith("gitdir:") or not target:
        raise SpecError(f"{entry} does not say `gitdir: <path>`")
    git_dir = _resolved(root / target, entry)
    _check_owner(git_dir, uid)
    common = _read(git_dir, "commondir")
    if common is None:
        worktree = _read_config(git_dir).get("core.worktree", [""])[-1]
        if not worktree or _resolved(git_dir / worktree, entry) != root:
            raise _not_back(root, entry, git_dir)
        return git_dir, git_dir
    common_dir = _resolved(git_dir / common.strip(), entry)
    _check_owner(common_dir, uid)
    if git_dir.parent != common_dir / "worktrees":
        raise SpecError(f"{git_dir} is not one of the worktrees of {common_dir}")
    back = (_read(git_dir, "gitdir") or "").strip()
    if not back or _resolved((git_dir / back).parent, entry) != root or Path(back).name != ".git":
        raise _not_back(root, entry, git_dir)
    return git_dir, common_dir


def _not_back(root: Path, entry: Path, git_dir: Path) -> SpecError:
    return SpecError(
        f"{entry} names {git_dir}, which does not name {root} in turn", hint=f"git -C {root} worktree repair"
    )


def _check_owner(path: Path, uid: int) -> None:
    owner = path.lstat().st_uid
    if owner != uid:
        raise SpecError(
            f"{path} belongs to another user (uid {owner}, you are {uid}): banger reads only your own repositories",
            hint=f"git clone {path.parent if path.name == '.git' else path} ~/copy",
        )


def _check_files(git_dir: Path, common_dir: Path) -> None:
    """Refuse what git would wait for, read without end or find elsewhere: it opens these by name, whatever they are."""
    for folder, names in ((git_dir, _OWN_FILES), (common_dir, _COMMON_FILES)):
        for name, limit_bytes in names.items():
            try:
                status = (folder / name).lstat()
            except OSError:
                continue
            if not stat.S_ISREG(status.st_mode):
                what = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "a FIFO, a device or a directory"
                raise SpecError(f"{folder / name}: {what} where git keeps a file of its own")
            if status.st_size > limit_bytes:
                raise SpecError(f"{folder / name}: larger than {limit_bytes} bytes")


def _check_alternates(root: Path, common_dir: Path) -> None:
    objects = common_dir / "objects"
    for line in (_read(objects, "info/alternates") or "").splitlines():
        if not line or line.startswith("#"):
            continue
        place = Path(os.path.realpath(objects / line.strip('"')))
        if not any(place.is_relative_to(inside) for inside in (common_dir, root)):
            raise SpecError(
                f"{objects}/info/alternates borrows objects from {place}, outside of the repository",
                hint=f"git -C {root} repack -a -d && rm {objects}/info/alternates",
            )


def _object_format(config: Values, root: Path) -> str:
    name = config.get("extensions.objectformat", ["sha1"])[-1].lower()
    if name not in _FORMATS:
        raise SpecError(f"{root}: unknown object format {name[:40]!r}")
    return name


def _read_config(git_dir: Path) -> Values:
    return parse_config(_read(git_dir, "config", FILE_LIMIT_BYTES) or "", str(git_dir / "config"))


def _read(folder: Path, name: str, limit_bytes: int = _SMALL_BYTES) -> str | None:
    with open_tree(folder) as tree:
        content = tree.read_small(name, limit_bytes)
    return None if content is None else content.decode("utf-8", "surrogateescape")


def _resolved(path: Path, entry: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise SpecError(f"{entry} leads to {path}, which is not there") from error


def _is_git_directory(folder: Path) -> bool:
    """Say what git's own test says: HEAD, objects and refs are there."""
    return all(_mode(folder / name) is not None for name in ("HEAD", "objects", "refs"))


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except OSError:
        return None
