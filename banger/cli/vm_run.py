"""`banger vm run`: make a VM and enter it. Three modes: bare shell, shell in a git checkout, one command."""

import os
import sys
from typing import Any

import click

from banger.cli.app import RemoteExitError
from banger.cli.decode import decode
from banger.cli.follow import InterruptedTooLateError
from banger.cli.options import RemoteCommand, quiet, remote_words, request_from, say_spec, vm_options
from banger.cli.remote import run_remote
from banger.cli.session import Session, delete_now
from banger.cli.ssh import GUEST_REPOSITORY, run_ssh, wait_for_ssh
from banger.cli.start_daemon import daemon
from banger.cli.tooling import begin_tooling
from banger.cli.vm_create import create
from banger.cli.vm_ssh import remind
from banger.model.errors import DeadlineError
from banger.model.exec import ExecRequest
from banger.model.vm import VmRequest, VmView


@click.command("run", cls=RemoteCommand)
@vm_options
@click.option("--rm", "ephemeral", is_flag=True, help="Delete the VM when the shell or the command ends.")
@click.option("--dry-run", is_flag=True, help="List the files that would be copied from PATH, and do nothing.")
@click.option("--ssh", "by_ssh", is_flag=True, help="Run COMMAND by SSH, and not through the agent in the VM.")
@quiet
def command(*, ephemeral: bool, dry_run: bool, by_ssh: bool, quiet: bool, **options: Any) -> None:
    """Make a VM and open a shell in it. With PATH, the git repository around it is copied to /root/repo.

    With a COMMAND, run that instead; its exit status becomes banger's own.
    """
    words = remote_words()
    by_ssh = by_ssh or not words  # a shell to work in is worth what SSH brings along
    request = request_from(options, ephemeral=ephemeral, wait_ssh=by_ssh)
    if dry_run:
        from banger.cli.dry_run import show

        show(request)
        return
    say_spec(request)
    status = run(request, words, is_quiet=quiet, by_ssh=by_ssh)
    if status:
        raise RemoteExitError(status)


def run(request: VmRequest, words: list[str], *, is_quiet: bool, by_ssh: bool) -> int:
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
            return _throw_away(vm, words, Session(client, vm), by_ssh=by_ssh)
    try:
        return _enter(vm, words, by_ssh=by_ssh)
    finally:
        remind(vm)


def _enter(vm: VmView, words: list[str], *, by_ssh: bool) -> int:
    directory = GUEST_REPOSITORY if vm.workspace else None
    if not words and vm.workspace:
        with daemon() as client:
            begin_tooling(client, vm)
    if by_ssh:
        wait_for_ssh(vm)
        return run_ssh(vm, words, directory)
    with daemon() as client:
        terminal = os.isatty(0) and os.isatty(1)
        return run_remote(client, vm.id, ExecRequest(tuple(words), cwd=directory), terminal=terminal)


def _throw_away(vm: VmView, words: list[str], session: Session, *, by_ssh: bool) -> int:
    """Enter a VM that goes when we leave it, however we leave it; all but one way: see below."""
    keep = False
    try:
        return _enter(vm, words, by_ssh=by_ssh)
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
