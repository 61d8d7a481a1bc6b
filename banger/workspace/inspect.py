"""Say what of a checkout would travel into a guest. Reads; changes nothing; runs only git, confined."""

import os
from collections.abc import Mapping
from pathlib import Path

import anyio

from banger.host.git import Repository
from banger.model.errors import SpecError
from banger.workspace.beneath import open_tree
from banger.workspace.config import Values, config_home, expand_user, is_true, read_user_config, read_user_file
from banger.workspace.history import (
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
from banger.workspace.values import SUBMODULE_MODE, Author, Workspace

_SHOWN_SUBMODULES = 3


async def inspect_repository(
    path: str | Path,
    *,
    include_untracked: bool,
    branch: str | None = None,
    from_ref: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Workspace:
    """Inspect the repository around `path`.

    Tracked files are compared by their bytes; untracked ones are taken only if asked for; ignored ones never.
    `branch` is made in the guest only, beginning at `from_ref` (default: HEAD). `environ` says where the user's own
    git configuration is (default: this process's environment). Raises SpecError (NotFoundError where the path or
    the ref is not there, ConflictError where a file changes meanwhile), DeadlineError, HostError.
    """
    if branch is not None:
        check_branch(branch)
    located = locate(Path(path))
    repository = located.repository
    _refuse_partial(located.config, repository)
    environment = os.environ if environ is None else environ
    user = read_user_config(environment, repository.git_dir)
    head = await read_head(repository)
    base = head.commit if from_ref is None else await resolve_commit(repository, from_ref)
    if base and not head.commit:
        raise SpecError(
            f"{repository.root}: the branch {head.branch} has no commit, so nothing can be compared with {from_ref}",
            hint=f"git -C {repository.root} checkout {from_ref}",
        )
    tracked = await read_index(repository)
    base_files = await read_tree(repository, base)
    _refuse_submodules(tracked, base_files, repository)
    untracked, nested = await read_untracked(repository, _user_ignore(user, environment))
    wanted = set(tracked).union(untracked if include_untracked else ())
    compared = await anyio.to_thread.run_sync(
        _compare, repository, wanted, base_files, tracked, is_true(located.config, "core.filemode", default=True)
    )
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
        untracked_paths=tuple(untracked),
        nested=tuple(nested),
        include_untracked=include_untracked,
        author=_author(user, located.config),
        origin=public_url(located.config.get("remote.origin.url", [""])[0]),
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
) -> Compared:
    with open_tree(repository.root) as tree:
        return compare(
            tree,
            wanted,
            base,
            kept=frozenset(path for path, entry in tracked.items() if entry.is_sparse),
            fixed_modes={} if believe_modes else {path: entry.mode for path, entry in tracked.items()},
            object_format=repository.object_format,
        )


def _refuse_partial(config: Values, repository: Repository) -> None:
    promised = any(key.startswith("remote.") and key.endswith(".promisor") for key in config)
    if promised or "extensions.partialclone" in config:
        raise SpecError(
            f"{repository.root} is a partial clone: a part of its history is not here",
            hint=f"git clone $(git -C {repository.root} remote get-url origin) full",
        )


def _refuse_submodules(
    tracked: Mapping[str, Tracked], base: Mapping[str, tuple[int, str]], repository: Repository
) -> None:
    paths = {path for path, entry in tracked.items() if entry.mode == SUBMODULE_MODE}
    paths.update(path for path, (mode, _) in base.items() if mode == SUBMODULE_MODE)
    if paths:
        shown = ", ".join(display(path) for path in sorted(paths)[:_SHOWN_SUBMODULES])
        more = ", …" if len(paths) > _SHOWN_SUBMODULES else ""
        raise SpecError(
            f"{repository.root} has submodules ({shown}{more}), which banger does not carry into a VM",
            hint=f"name one of them instead: {repository.root}/{min(paths)}",
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
