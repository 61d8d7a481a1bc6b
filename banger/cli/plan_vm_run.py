"""`banger plan vm run`: what `vm run` with the same words would do."""

from typing import Any

import click

from banger.cli.options import RemoteCommand, remote_words, request_from, vm_options
from banger.cli.plan_vm_create import plan_options, show_plan


@click.command("run", cls=RemoteCommand)
@vm_options
@click.option("--rm", "_ephemeral", is_flag=True, help="Makes no difference: what is planned is how the VM comes up.")
@click.option("--ssh", "by_ssh", is_flag=True, help="Wait for SSH, as vm run does with it or with no COMMAND.")
@plan_options
def command(*, _ephemeral: bool, by_ssh: bool, **options: Any) -> None:
    """Say what `vm run` with the same words would do before COMMAND or the shell starts. Changes nothing.

    `banger plan vm create --help` says what the lines mean.
    """
    request = request_from(options, wait_ssh=by_ssh or not remote_words())
    show_plan(request, options, "banger plan vm run")
