"""`banger vm start`: start stopped VMs."""

import click

from banger.cli.many import Asked, each, which
from banger.cli.options import as_json, every, many_vms, quiet


@click.command("start")
@many_vms
@every
@quiet
@as_json
def command(names: tuple[str, ...], *, every: bool, quiet: bool, json_output: bool) -> None:
    """Start stopped VMs."""
    wanted = which(names, every=every, states={"stopped", "failed"})
    each(wanted, Asked("POST", "/start"), is_quiet=quiet, json_output=json_output)
