"""`banger vm restart`: stop VMs and start them."""

import click

from banger.cli.many import Asked, each, which
from banger.cli.options import as_json, every, many_vms, quiet


@click.command("restart")
@many_vms
@every
@quiet
@as_json
def command(names: tuple[str, ...], *, every: bool, quiet: bool, json_output: bool) -> None:
    """Stop VMs and start them. With --all: those that run. A stopped one that is named is started."""
    wanted = which(names, every=every, states={"running"})
    each(wanted, Asked("POST", "/restart"), is_quiet=quiet, json_output=json_output)
