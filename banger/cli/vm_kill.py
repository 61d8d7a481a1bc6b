"""`banger vm kill`: end VMs at once."""

import click

from banger.cli.many import Asked, each, which
from banger.cli.options import as_json, every, many_vms, quiet


@click.command("kill")
@many_vms
@every
@quiet
@as_json
def command(names: tuple[str, ...], *, every: bool, quiet: bool, json_output: bool) -> None:
    """End VMs at once, as a power cut does. Their disks stay, but what a guest has not written yet is lost."""
    wanted = which(names, every=every, states={"running", "paused", "starting", "stopping"})
    each(wanted, Asked("POST", "/kill"), is_quiet=quiet, json_output=json_output)
