"""What a git checkout would bring into the VM, as `vm run --dry-run` and the notice about untracked files say it."""

import sys
from collections.abc import Awaitable, Sequence
from importlib import import_module
from typing import Protocol, cast

from banger.model.errors import SpecError
from banger.model.vm import VmRequest, WorkspaceRequest


class Inspection(Protocol):
    """What `banger.workspace.inspect` found: paths relative to the repository's root."""

    @property
    def files(self) -> Sequence[str]:
        """Files that would be copied, sorted."""

    @property
    def untracked(self) -> Sequence[str]:
        """Files that git neither tracks nor ignores."""


class Inspect(Protocol):
    """`banger.workspace.inspect.inspect_repository`."""

    def __call__(
        self, path: str, *, include_untracked: bool, branch: str | None, from_ref: str | None
    ) -> Awaitable[Inspection]: ...


def inspect(workspace: WorkspaceRequest) -> Inspection:
    """Read the repository; a pure git read, here and not in the daemon. Raises SpecError for what cannot be copied."""
    import anyio

    inspect_repository = cast("Inspect", import_module("banger.workspace.inspect").inspect_repository)

    async def read() -> Inspection:
        return await inspect_repository(
            workspace.path,
            include_untracked=workspace.include_untracked,
            branch=workspace.branch,
            from_ref=workspace.from_ref,
        )

    return anyio.run(read)


def show(request: VmRequest) -> None:
    """Print every file that would be copied. No daemon, no VM."""
    if request.workspace is None:
        raise SpecError("--dry-run needs a PATH: it lists the files that would be copied from there")
    found = inspect(request.workspace)
    for path in found.files:
        print(path)
    mode = "tracked and untracked files" if request.workspace.include_untracked else "tracked files only"
    print(f"{len(found.files)} files, {mode}", file=sys.stderr)


def notice_untracked(workspace: WorkspaceRequest) -> None:
    """Say in one line that untracked files stay behind, if there are any."""
    if workspace.include_untracked:
        return
    count = len(inspect(workspace).untracked)
    if count:
        print(f"{count} untracked files stay behind; --include-untracked copies them too", file=sys.stderr)
