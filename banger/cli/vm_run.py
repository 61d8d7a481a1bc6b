"""`banger vm run`: make a VM and enter it. Three modes: bare shell, shell in a git checkout, one command."""

import sys
from typing import Any

import click

from banger.cli.app import RemoteExitError
from banger.cli.decode import decode
from banger.cli.follow import InterruptedTooLateError
from banger.cli.options import RemoteCommand, quiet, remote_words, request_from, say_spec, vm_options
from banger.cli.session import Session, delete_now
from banger.cli.ssh import GUEST_REPOSITORY, run_ssh, wait_for_ssh
from banger.cli.start_daemon import daemon
from banger.cli.vm_create import create
from banger.cli.vm_ssh import remind
from banger.model.errors import DeadlineError
from banger.model.vm import VmRequest, VmView


@click.command("run", cls=RemoteCommand)
@vm_options
@click.option("--rm", "ephemeral", is_flag=True, help="Delete the VM when the shell or the command ends.")
@click.option("--dry-run", is_flag=True, help="List the files that would be copied from PATH, and do nothing.")
@quiet
def command(*, ephemeral: bool, dry_run: bool, quiet: bool, **options: Any) -> None:
    """Make a VM and open a shell in it. With PATH, the git repository around it is copied to /root/repo.

    With a COMMAND, run that instead; its exit status becomes banger's own.
    """
    words = remote_words()
    request = request_from(options, ephemeral=ephemeral)
    if dry_run:
        from banger.cli.dry_run import show

        show(request)
        return
    say_spec(request)
    status = run(request, words, is_quiet=quiet)
    if status:
        raise RemoteExitError(status)


def run(request: VmRequest, words: list[str], *, is_quiet: bool) -> int:
    """Make the VM, enter it and return the exit status of what ran there."""
    if request.workspace:
        from banger.cli.dry_run import notice_untracked

        notice_untracked(request.workspace)
    with daemon() as client:
        try:
            vm = create(client, request, is_quiet=is_quiet)
        except InterruptedTooLateError as late:
            if request.ephemeral:
                delete_now(decode(VmView, late.value))
            raise
        if request.ephemeral:
            return _throw_away(vm, words, Session(client, vm))
    try:
        wait_for_ssh(vm)
        return run_ssh(vm, words, _directory(vm))
    finally:
        remind(vm)


def _throw_away(vm: VmView, words: list[str], session: Session) -> int:
    """Enter a VM that goes when we leave it, however we leave it; all but one way: see below."""
    keep = False
    try:
        wait_for_ssh(vm)
        return run_ssh(vm, words, _directory(vm))
    except DeadlineError:
        # A guest that never answers is a riddle: its VM stays, so that its console can be read.
        keep = True
        session.keep()
        print(f"VM {vm.name!r} is kept: banger vm delete {vm.name}", file=sys.stderr)
        raise
    finally:
        if not keep:
            delete_now(vm)
        session.close()


def _directory(vm: VmView) -> str | None:
    return GUEST_REPOSITORY if vm.workspace else None
