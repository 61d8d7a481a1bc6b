"""`banger vm stop`: stop VMs."""

import click

from banger.cli.decode import decode_list
from banger.cli.many import each
from banger.cli.options import as_json, many_vms, quiet
from banger.cli.output import print_json
from banger.model.vm import VmView


@click.command("stop")
@many_vms
@quiet
@as_json
def command(names: tuple[str, ...], *, quiet: bool, json_output: bool) -> None:
    """Stop VMs. Their disks stay."""
    vms = decode_list(VmView, each(names, "POST", "/stop", is_quiet=quiet))
    if json_output:
        print_json(vms)
