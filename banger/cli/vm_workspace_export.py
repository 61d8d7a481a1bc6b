"""`banger vm workspace export`: look at what was done in a VM's checkout, and take it as a branch or a patch."""

import codecs
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from banger.cli.client import Client, vm_path
from banger.cli.decode import decode
from banger.cli.follow import follow
from banger.cli.options import as_json, one_vm, quiet
from banger.cli.output import print_json, print_table, sanitised
from banger.cli.progress import progress
from banger.cli.start_daemon import daemon
from banger.model.errors import ConflictError, HostError, SpecError
from banger.model.workspace import BranchView, ExportView

_CHUNK_BYTES = 64 * 1024
_FILES_SHOWN = 1000


@click.command("export")
@one_vm
@click.argument("path", metavar="[PATH]", required=False)
@click.option("--branch", metavar="NAME", help="Name of the new branch (default: banger/NAME, with a number if taken).")
@click.option("--patch", "patch_file", metavar="FILE", help="Write a patch to a new file instead; -: to the output.")
@click.option("--no-diff", is_flag=True, help="Show which files differ, and not how.")
@click.option("-y", "--yes", is_flag=True, help="Make the branch without asking.")
@quiet
@as_json
def command(  # noqa: PLR0913 - the options that there are
    *,
    name: str,
    path: str | None,
    branch: str | None,
    patch_file: str | None,
    no_diff: bool,
    yes: bool,
    quiet: bool,
    json_output: bool,
) -> None:
    """Show what was done at /root/repo of VM NAME since the commit that it was made from, committed or not.

    Then, if you say so, make it a new branch of the repository that it came from (or that is around PATH). Your
    checkout and your branches stay as they are: merge it as you like.
    """
    if branch is not None and patch_file is not None:
        raise SpecError("--branch and --patch exclude each other")
    where = None if path is None else str(Path(path).absolute())
    with daemon() as client:
        with progress(quiet=quiet) as shown:
            answer = client.post(vm_path(name, "/workspace/export"), {"path": where})
            view = decode(ExportView, follow(client, answer, shown))
        if json_output:
            print_json(view)
        elif patch_file == "-":
            _notes(view)
        else:
            _show(view, with_diff=not no_diff)
        if view.tip is None:
            return
        if patch_file is not None:
            _write_patch(view, patch_file)
        elif yes or (not json_output and _is_wanted(view, branch)):
            _make_branch(client, view, branch)


def _show(view: ExportView, *, with_diff: bool) -> None:
    _notes(view)
    if view.tip is None:
        print(f"nothing was done in VM {view.vm!r} since {_short(view.base)}", file=sys.stderr)
        return
    for commit in view.commits:
        print(sanitised(f"{commit.id[:12]}  {commit.author}  {commit.subject}").replace("\n", " "), file=sys.stderr)
    rows = [
        [change.status, _count(change.added, "+"), _count(change.removed, "-"), sanitised(change.path)]
        for change in view.files[:_FILES_SHOWN]
    ]
    if with_diff and view.patch is not None:
        for text in _texts(Path(view.patch)):
            print(sanitised(text), end="")
    if rows:
        print_table(["", "", "", f"{len(view.files)} files differ from {_short(view.base)}"], rows, right=(1, 2))
    if len(view.files) > _FILES_SHOWN:
        print(f"and {len(view.files) - _FILES_SHOWN} more")


def _notes(view: ExportView) -> None:
    if not view.descends:
        print(f"the VM's branch does not stand on {_short(view.base)} any more", file=sys.stderr)
    if view.others:
        names = sanitised(", ".join(view.others))
        print(f"branches in the VM with commits that are not in this: {names}", file=sys.stderr)
    if view.left_behind:
        names = sanitised(", ".join(view.left_behind))
        print(f"repositories inside the checkout, which stay behind: {names}", file=sys.stderr)


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "the beginning"


def _count(lines: int | None, sign: str) -> str:
    return "" if lines is None else f"{sign}{lines}"


def _texts(file: Path) -> Iterator[str]:
    decode_more = codecs.getincrementaldecoder("utf-8")("replace").decode
    with file.open("rb") as patch:
        while chunk := patch.read(_CHUNK_BYTES):
            yield decode_more(chunk)


def _write_patch(view: ExportView, target: str) -> None:
    """Copy the patch to a new file, or to stdout as it is. Raises ConflictError rather than overwrite one."""
    assert view.patch is not None
    try:
        with Path(view.patch).open("rb") as source:
            if target == "-":
                sys.stdout.flush()
                if sys.stdout.isatty():  # to be looked at, and not to be applied
                    for text in _texts(Path(view.patch)):
                        print(text, end="")
                    return
                while chunk := source.read(_CHUNK_BYTES):
                    sys.stdout.buffer.write(chunk)
                return
            with Path(target).open("xb") as copy:
                while chunk := source.read(_CHUNK_BYTES):
                    copy.write(chunk)
    except FileExistsError as error:
        raise ConflictError(f"{target} is there already, and is not overwritten") from error
    except OSError as error:
        raise HostError(f"{target}: {error.strerror}") from error
    print(f"to apply it: git -C {view.repository} apply --index {Path(target).absolute()}", file=sys.stderr)


def _is_wanted(view: ExportView, branch: str | None) -> bool:
    """Ask, if there is somebody to be asked."""
    if not (os.isatty(0) and os.isatty(2)):
        print("nothing was written; to make it a branch: --yes, a patch: --patch FILE", file=sys.stderr)
        return False
    return click.confirm(f"Make it branch {branch or f'banger/{view.vm}'} of {view.repository}?", err=True)


def _make_branch(client: Client, view: ExportView, name: str | None) -> None:
    answer = client.post(vm_path(view.vm, f"/workspace/exports/{view.id}/branch"), {"name": name})
    made = decode(BranchView, answer)
    print(
        f"branch {made.name} at {made.commit[:12]}; to merge it: git -C {made.repository} merge {made.name}",
        file=sys.stderr,
    )
