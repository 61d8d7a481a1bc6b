"""`banger vm workspace prepare`: bring the checkout in a VM up to date with the one here."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from banger.cli.client import vm_path
from banger.cli.decode import decode
from banger.cli.dry_run import say_untracked
from banger.cli.follow import follow
from banger.cli.options import as_json, one_vm, quiet
from banger.cli.output import print_json
from banger.cli.progress import progress
from banger.cli.start_daemon import daemon
from banger.model.errors import SpecError
from banger.model.vm import WorkspaceRequest
from banger.model.workspace import PreparedView


@click.command("prepare")
@one_vm
@click.argument("path", metavar="[PATH]", required=False)
@click.option("--branch", metavar="NAME", help="Check out a new branch in the guest only; needs PATH.")
@click.option("--from", "from_ref", metavar="REF", help="Where the branch begins (default: HEAD).")
@click.option(
    "--include-untracked", is_flag=True, help="Also copy untracked files that git does not ignore; needs PATH."
)
@click.option("--full-copy", is_flag=True, help="Also copy submodules; needs PATH.")
@click.option("--replace", is_flag=True, help="Send it whole, and put aside what is there, as /root/repo.1 and so on.")
@click.option("--dry-run", is_flag=True, help="List the files that the VM would have, and do nothing; needs PATH.")
@quiet
@as_json
def command(  # noqa: PLR0913 - the options that there are
    *,
    name: str,
    path: str | None,
    branch: str | None,
    from_ref: str | None,
    include_untracked: bool,
    full_copy: bool,
    replace: bool,
    dry_run: bool,
    quiet: bool,
    json_output: bool,
) -> None:
    """Bring the checkout at /root/repo of VM NAME up to date with the git repository around PATH.

    Only what changed is sent. Without PATH: the repository, and the options, of the last time. What was changed in the
    VM stays; where both have changed the same, nothing is touched.
    """
    given = {
        "--branch": branch,
        "--from": from_ref,
        "--include-untracked": include_untracked,
        "--full-copy": full_copy,
        "--dry-run": dry_run,
    }
    workspace = _workspace(path, given)
    if dry_run and workspace is not None:
        from banger.cli.dry_run import show_workspace

        show_workspace(workspace)
        return
    body = {"workspace": asdict(workspace) if workspace else None, "replace": replace}
    with daemon() as client, progress(quiet=quiet) as shown:
        view = decode(PreparedView, follow(client, client.post(vm_path(name, "/workspace/prepare"), body), shown))
    if json_output:
        print_json(view)
    elif not quiet:
        print(_said(view), file=sys.stderr)
        if view.untracked:
            say_untracked(view.untracked)


def _workspace(path: str | None, given: dict[str, str | bool | None]) -> WorkspaceRequest | None:
    if path is None:
        for option, value in given.items():
            if value:
                raise SpecError(f"{option} needs a PATH: without one it is as the last time")
        return None
    branch, from_ref = given["--branch"], given["--from"]
    if from_ref is not None and branch is None:
        raise SpecError("--from needs --branch: it says where that branch begins")
    absolute = Path(path).absolute()
    if not absolute.exists():
        raise SpecError(f"{path}: there is no such directory")
    return WorkspaceRequest(
        path=str(absolute),
        include_untracked=bool(given["--include-untracked"]),
        branch=branch if isinstance(branch, str) else None,
        from_ref=from_ref if isinstance(from_ref, str) else None,
        full_copy=bool(given["--full-copy"]),
    )


def _said(view: PreparedView) -> str:
    where = f"{view.path} ({view.branch or 'detached'})"
    match view.how:
        case "whole":
            return f"{where}: {view.files} files sent"
        case "changes":
            return f"{where}: {view.changed} of {view.files} files sent"
        case _:
            return f"{where}: nothing has changed"
