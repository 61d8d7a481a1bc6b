"""`banger vm ssh`: a shell in a running VM, or one command."""

import sys
from contextlib import suppress

import click

from banger.cli.app import RemoteExitError
from banger.cli.client import vm_path
from banger.cli.decode import decode
from banger.cli.options import RemoteCommand, one_vm, remote_words
from banger.cli.ssh import run_ssh
from banger.cli.start_daemon import daemon, running_daemon
from banger.model.errors import BangerError
from banger.model.verbs import HealthView
from banger.model.vm import VmView


@click.command("ssh", cls=RemoteCommand)
@one_vm
def command(name: str) -> None:
    """Open a shell in a VM, or run COMMAND there; its exit status becomes banger's own."""
    words = remote_words()
    with daemon() as client:
        vm = decode(VmView, client.get(vm_path(name)))
    try:
        status = run_ssh(vm, words, None)
    finally:
        if not words:
            remind(vm)
    if status:
        raise RemoteExitError(status)


def remind(vm: VmView) -> None:
    """Say that a VM is still running, if its guest answers. Never fails: it comes last."""
    with suppress(BangerError):
        client = running_daemon()
        if client is None:
            return
        with client:
            health = decode(HealthView, client.get(vm_path(vm.id, "/health")))
        if health.state == "running":
            print(
                f"VM {health.name!r} is still running: banger vm ssh {health.name}, or banger vm delete {health.name}",
                file=sys.stderr,
            )
