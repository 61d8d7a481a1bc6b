"""The history that travels: a git bundle of the commits that the checkout stands on, made by git, confined."""

import os
from collections.abc import Sequence
from pathlib import Path

from banger.host.git import run_git
from banger.model.errors import ConflictError, SpecError
from banger.workspace.history import unreadable
from banger.workspace.values import Workspace

LIMIT_BYTES = 32 * 1024**3
DEADLINE_S = 900.0
_SIGNATURES = (b"# v2 git bundle\n", b"# v3 git bundle\n")
_HEADER_BYTES = 64 * 1024


async def write_bundle(workspace: Workspace, path: Path, *, known: Sequence[str] = ()) -> bool:
    """Write the history of `head` and `base` to a new file, but for what `known` commits stand on; only for a checkout
    that has a base. Return whether there is any.

    Both commits are named by their ids, so whatever else the repository calls by those names, these travel. Raises
    SpecError if git cannot read the history, ConflictError if HEAD has moved since the inspection, DeadlineError,
    HostError.
    """
    assert workspace.head
    assert workspace.base
    commits = dict.fromkeys((workspace.head, workspace.base))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        done = await run_git(
            workspace.repository,
            ["bundle", "create", "-q", "-", "HEAD", *commits, *(f"^{commit}" for commit in known)],
            deadline_s=DEADLINE_S,
            output=descriptor,
            output_limit_bytes=LIMIT_BYTES,
        )
    finally:
        os.close(descriptor)
    if known and done.status != 0 and b"empty bundle" in done.stderr:
        os.unlink(path)  # noqa: PTH108 - one name of ours
        return False
    if done.status != 0:
        raise unreadable(workspace.repository, "bundle", done.status, done.stderr)
    _check_head(workspace, path, is_whole=not known)
    return True


def _check_head(workspace: Workspace, path: Path, *, is_whole: bool) -> None:
    """Read the header (gitformat-bundle(5)): a signature, capabilities ``@``, missing commits ``-``, refs, a blank."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES).partition(b"\n\n")[0] + b"\n"
    if not header.startswith(_SIGNATURES):
        raise SpecError(f"{workspace.repository.root}: git wrote a bundle of an unknown form: {header[:40]!r}")
    lines = header.splitlines()[1:]
    if is_whole and any(line.startswith(b"-") for line in lines):
        raise SpecError(f"{workspace.repository.root}: git left a part of the history out of its bundle")
    if f"{workspace.head} HEAD".encode() not in lines:
        raise ConflictError(
            f"{workspace.repository.root}: another commit was checked out meanwhile", hint="run the command again"
        )
