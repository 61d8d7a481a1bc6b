"""`banger vm stop`: stop VMs."""

import click

from banger.cli.many import Asked, each, which
from banger.cli.options import as_json, every, many_vms, quiet


@click.command("stop")
@many_vms
@every
@quiet
@as_json
def command(names: tuple[str, ...], *, every: bool, quiet: bool, json_output: bool) -> None:
    """Stop VMs. Their disks stay. A guest that does not listen is ended after a while."""
    wanted = which(names, every=every, states={"running", "paused", "starting", "failed"})
    each(wanted, Asked("POST", "/stop"), is_quiet=quiet, json_output=json_output)
