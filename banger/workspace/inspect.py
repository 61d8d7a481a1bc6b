"""Say what of a checkout would travel into a guest. Reads; changes nothing; runs only git, confined."""

import os
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from banger.host.clock import SystemClock
from banger.host.git import Repository
from banger.model.errors import BangerError, SpecError
from banger.workspace.beneath import open_tree
from banger.workspace.config import Values, config_home, expand_user, is_true, read_user_config, read_user_file
from banger.workspace.history import (
    Head,
    Tracked,
    read_head,
    read_index,
    read_shallow,
    read_tree,
    read_untracked,
    resolve_commit,
)
from banger.workspace.locate import locate
from banger.workspace.names import check_branch, display, public_url
from banger.workspace.scan import Compared, compare
from banger.workspace.stamps import Stamps
from banger.workspace.values import SUBMODULE_MODE, Author, Workspace

_SHOWN_SUBMODULES = 3


async def inspect_repository(
    path: str | Path,
    *,
    include_untracked: bool,
    branch: str | None = None,
    from_ref: str | None = None,
    full_copy: bool = False,
    environ: Mapping[str, str] | None = None,
    stamps_file: Path | None = None,
) -> Workspace:
    """Inspect the repository around `path`.

    Tracked files are compared by their bytes; untracked ones are taken only if asked for; ignored ones never.
    `branch` is made in the guest only, beginning at `from_ref` (default: HEAD). `full_copy` takes submodules along, as
    parts. `environ` says where the user's own git configuration is (default: this process's environment). `stamps_file`
    remembers what was read, for the next time. Raises SpecError (NotFoundError where the path or
    the ref is not there, ConflictError where a file changes meanwhile), DeadlineError, HostError.
    """
    if branch is not None:
        check_branch(branch)
    located = locate(Path(path))
    repository = located.repository
    _refuse_partial(located.config, repository)
    environment = os.environ if environ is None else environ
    user = read_user_config(environment, repository.git_dir)
    stamps = await anyio.to_thread.run_sync(_load_stamps, stamps_file, repository)
    found = await _ask(repository, from_ref, _user_ignore(user, environment), stamps)
    head, base, base_files, tracked = found.head, found.base, found.base_files, found.tracked
    modules = _submodules(tracked, base_files)
    if modules and not full_copy:
        raise _no_submodules(modules, repository)
    base_files = {path: entry for path, entry in base_files.items() if entry[0] != SUBMODULE_MODE}
    wanted = set(tracked).union(found.untracked if include_untracked else ()).difference(modules)
    compared = await anyio.to_thread.run_sync(
        _compare,
        repository,
        wanted,
        base_files,
        tracked,
        is_true(located.config, "core.filemode", default=True),
        stamps if stamps_file else None,
    )
    if stamps_file is not None:
        await anyio.to_thread.run_sync(stamps.save, stamps_file)
    return Workspace(
        repository=repository,
        head=head.commit,
        base=base,
        branch=branch or head.branch,
        source_branch=head.branch,
        shallow=read_shallow(repository),
        overlay=compared.overlay,
        deleted=compared.deleted,
        added=tuple(file.path for file in compared.overlay if file.path in tracked and file.path not in base_files),
        unchanged=compared.unchanged,
        untracked_paths=tuple(found.untracked),
        nested=tuple(found.nested),
        include_untracked=include_untracked,
        author=_author(user, located.config),
        origin=public_url(located.config.get("remote.origin.url", [""])[0]),
        base_files=base_files,
        modules=tuple(sorted(modules)),
        parts=await _inspect_parts(repository, modules, include_untracked=include_untracked, environ=environment),
    )


async def list_untracked(path: str | Path, *, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """List only what `Workspace.untracked` would hold: cheap, no file is read. Raises as `inspect_repository`."""
    located = locate(Path(path))
    environment = os.environ if environ is None else environ
    user = read_user_config(environment, located.repository.git_dir)
    untracked, _ = await read_untracked(located.repository, _user_ignore(user, environment))
    return tuple(display(one) for one in untracked)


def _compare(
    repository: Repository,
    wanted: set[str],
    base: Mapping[str, tuple[int, str]],
    tracked: Mapping[str, Tracked],
    believe_modes: bool,  # noqa: FBT001 - to_thread passes by position
    stamps: Stamps | None,
) -> Compared:
    with open_tree(repository.root) as tree, closing(stamps) if stamps else nullcontext():
        return compare(
            tree,
            wanted,
            base,
            kept=frozenset(path for path, entry in tracked.items() if entry.is_sparse),
            fixed_modes={} if believe_modes else {path: entry.mode for path, entry in tracked.items()},
            object_format=repository.object_format,
            stamps=stamps,
        )


@dataclass(slots=True)
class _Found:
    """What git says."""

    head: Head = field(default_factory=lambda: Head(None, None))
    base: str | None = None
    base_files: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    tracked: dict[str, Tracked] = field(default_factory=dict)
    untracked: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)


async def _ask(repository: Repository, from_ref: str | None, ignore: str | None, stamps: Stamps) -> _Found:
    """Ask git for everything, as much at the same time as can be."""
    found = _Found()

    async def index() -> None:
        found.tracked = await read_index(repository)

    async def untracked() -> None:
        found.untracked, found.nested = await read_untracked(repository, ignore)

    async def commits() -> None:
        found.head = await read_head(repository)
        found.base = found.head.commit if from_ref is None else await resolve_commit(repository, from_ref)
        if found.base and not found.head.commit:
            raise SpecError(
                f"{repository.root}: the branch {found.head.branch} has no commit, so nothing compares with {from_ref}",
                hint=f"git -C {repository.root} checkout {from_ref}",
            )
        found.base_files = await _read_base(repository, found.base, stamps)

    try:
        async with anyio.create_task_group() as group:
            for question in (commits, index, untracked):
                group.start_soon(question)
    except BaseExceptionGroup as errors:
        for one in errors.exceptions:
            if isinstance(one, BangerError):
                raise one from None
        raise
    return found


def _load_stamps(file: Path | None, repository: Repository) -> Stamps:
    return Stamps.load(file, repository.root, repository.object_format, int(SystemClock().wall() * 1e9))


async def _read_base(repository: Repository, base: str | None, stamps: Stamps) -> dict[str, tuple[int, str]]:
    known = stamps.files_of(base) if base else None
    if known is not None:
        return known
    files = await read_tree(repository, base)
    if base:
        stamps.note_files(base, files)
    return files


async def _inspect_parts(
    repository: Repository, modules: set[str], *, include_untracked: bool, environ: Mapping[str, str]
) -> tuple[tuple[str, Workspace], ...]:
    """Inspect the submodules that are there: each is a repository of its own."""
    parts: list[tuple[str, Workspace]] = []
    for path in sorted(modules):
        with open_tree(repository.root) as tree:
            folder = tree.open_folder(path)
            if folder is None:
                continue
            os.close(folder)
        if not _is_checked_out(repository.root / path):
            continue  # so not there either
        part = await inspect_repository(
            repository.root / path, include_untracked=include_untracked, full_copy=True, environ=environ
        )
        parts.append((path, part))
    return tuple(parts)


def _refuse_partial(config: Values, repository: Repository) -> None:
    promised = any(key.startswith("remote.") and key.endswith(".promisor") for key in config)
    if promised or "extensions.partialclone" in config:
        raise SpecError(
            f"{repository.root} is a partial clone: a part of its history is not here",
            hint=f"git clone $(git -C {repository.root} remote get-url origin) full",
        )


def _is_checked_out(module: Path) -> bool:
    return os.path.lexists(module / ".git")


def _submodules(tracked: Mapping[str, Tracked], base: Mapping[str, tuple[int, str]]) -> set[str]:
    paths = {path for path, entry in tracked.items() if entry.mode == SUBMODULE_MODE}
    return paths.union(path for path, (mode, _) in base.items() if mode == SUBMODULE_MODE)


def _no_submodules(paths: set[str], repository: Repository) -> SpecError:
    shown = ", ".join(display(path) for path in sorted(paths)[:_SHOWN_SUBMODULES])
    more = ", …" if len(paths) > _SHOWN_SUBMODULES else ""
    return SpecError(
        f"{repository.root} has submodules ({shown}{more}), which banger carries into a VM only if it is told to",
        hint=f"banger vm workspace prepare --full-copy NAME {repository.root}",
    )


def _user_ignore(user: Values, environ: Mapping[str, str]) -> str | None:
    """Return the content of the user's own ignore file: gitignore(5), `core.excludesFile`."""
    named = user.get("core.excludesfile")
    home = Path(environ.get("HOME", "/nonexistent"))
    return read_user_file(expand_user(named[-1], home) if named else config_home(environ) / "git" / "ignore")


def _author(user: Values, config: Values) -> Author | None:
    """Return who commits, the repository's own setting first; None unless there are both a name and an address."""
    name, email = ((config.get(key) or user.get(key) or [""])[-1] for key in ("user.name", "user.email"))
    if not (name and email) or not (name + email).isprintable():
        return None
    return Author(name, email)
