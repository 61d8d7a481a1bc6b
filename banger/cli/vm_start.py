"""`banger vm start`: start stopped VMs."""

import click

from banger.cli.decode import decode_list
from banger.cli.many import each
from banger.cli.options import as_json, many_vms, quiet
from banger.cli.output import print_json
from banger.model.vm import VmView


@click.command("start")
@many_vms
@quiet
@as_json
def command(names: tuple[str, ...], *, quiet: bool, json_output: bool) -> None:
    """Start stopped VMs."""
    vms = decode_list(VmView, each(names, "POST", "/start", is_quiet=quiet))
    if json_output:
        print_json(vms)
