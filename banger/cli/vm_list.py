"""`banger vm list`."""

import click

from banger.cli.decode import decode_list
from banger.cli.options import as_json
from banger.cli.output import print_json, print_table
from banger.cli.start_daemon import daemon
from banger.model.vm import VmView


@click.command("list")
@as_json
def command(*, json_output: bool) -> None:
    """List VMs, oldest first."""
    with daemon() as client:
        vms = decode_list(VmView, client.get("/v1/vms"))
    if json_output:
        print_json(vms)
    elif vms:
        rows = [[vm.name, vm.state, vm.image, vm.sizes.describe(), vm.workspace or ""] for vm in vms]
        print_table(["NAME", "STATE", "IMAGE", "SIZES", "WORKSPACE"], rows)
