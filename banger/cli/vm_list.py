"""`banger vm list`."""

import time
from collections.abc import Collection

import click

from banger.cli.amounts import age
from banger.cli.decode import decode_list
from banger.cli.options import as_json
from banger.cli.output import print_json, print_table
from banger.cli.start_daemon import daemon
from banger.model.vm import VmView

_STATES = ("creating", "starting", "running", "paused", "stopping", "stopped", "failed", "deleting")


@click.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--image", metavar="IMAGE", help="Only those of this image.")
@click.option("-q", "--quiet", "names_only", is_flag=True, help="Print names only.")
@as_json
def command(*, states: tuple[str, ...], image: str | None, names_only: bool, json_output: bool) -> None:
    """List VMs, oldest first."""
    with daemon() as client:
        vms = decode_list(VmView, client.get("/v1/vms"))
    vms = [vm for vm in vms if _is_wanted(vm, states, image)]
    if json_output:
        print_json(vms)
    elif names_only:
        for vm in vms:
            print(vm.name)
    elif vms:
        now = time.time()  # noqa: TID251 - to show an age, here
        head = ["NAME", "STATE", "IMAGE", "SIZES", "ADDRESS", "AGE", "WORKSPACE"]
        rows = [
            [
                *(vm.name, vm.state, vm.image, vm.sizes.describe()),
                *(vm.address or "", age(now - vm.created_at), vm.workspace or ""),
            ]
            for vm in vms
        ]
        if any(vm.forked_from for vm in vms):
            head.append("FORKED FROM")
            rows = [[*row, vm.forked_from or ""] for row, vm in zip(rows, vms, strict=True)]
        print_table(head, rows)


def _is_wanted(vm: VmView, states: Collection[str], image: str | None) -> bool:
    return (not states or vm.state in states) and image in {None, vm.image}
