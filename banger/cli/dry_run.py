"""What a git checkout would bring into the VM, as `vm run --dry-run` and the notice about untracked files say it.

Read here and not in the daemon: it needs no daemon, and git is confined here as there.
"""

import sys

from banger.model.errors import SpecError
from banger.model.vm import VmRequest, WorkspaceRequest


def show(request: VmRequest) -> None:
    """Print every file that would be copied. No daemon, no VM. Raises SpecError for what cannot be copied."""
    if request.workspace is None:
        raise SpecError("--dry-run needs a PATH: it lists the files that would be copied from there")
    show_workspace(request.workspace)


def show_workspace(wanted: WorkspaceRequest) -> None:
    """Print every file of a checkout that would be copied."""
    import anyio

    from banger.workspace.inspect import inspect_repository
    from banger.workspace.values import Workspace

    async def inspect() -> Workspace:
        return await inspect_repository(
            wanted.path,
            include_untracked=wanted.include_untracked,
            branch=wanted.branch,
            from_ref=wanted.from_ref,
            full_copy=wanted.full_copy,
        )

    found = anyio.run(inspect)
    for path in found.files:
        print(path)
    mode = "tracked and untracked files" if wanted.include_untracked else "tracked files only"
    print(f"{len(found.files)} files, {mode}", file=sys.stderr)


def notice_untracked(workspace: WorkspaceRequest) -> None:
    """Say in one line that untracked files stay behind, if there are any. Raises SpecError for what cannot be read."""
    if workspace.include_untracked:
        return
    import anyio

    from banger.workspace.inspect import list_untracked

    count = len(anyio.run(list_untracked, workspace.path))
    if count:
        say_untracked(count)


def say_untracked(count: int) -> None:
    """Say how many untracked files stay behind."""
    what = "1 untracked file stays" if count == 1 else f"{count} untracked files stay"
    print(f"{what} behind; --include-untracked copies untracked files too", file=sys.stderr)
