"""`banger vm fork`: more of a VM that runs."""

import click

from banger.cli.client import vm_path
from banger.cli.decode import decode_list
from banger.cli.follow import follow
from banger.cli.options import as_json, one_vm, quiet
from banger.cli.output import print_json
from banger.cli.progress import progress
from banger.cli.start_daemon import daemon
from banger.model.vm import VmView


@click.command("fork")
@one_vm
@click.option("-n", "count", type=click.IntRange(1, 32), default=1, metavar="N", help="How many (default 1).")
@click.option("--name", "new_name", metavar="NEW", help="Name of the fork; of several, NEW-1 and so on.")
@quiet
@as_json
def command(name: str, *, count: int, new_name: str | None, quiet: bool, json_output: bool) -> None:
    """Freeze the running VM NAME, let it go on, and start others from that moment: same programs, memory and files.

    Each has a name, addresses, keys, a clock and randomness of its own. What `vm exec` runs in NAME ends in the forks.
    Secrets in NAME's memory and files are in all of them.
    """
    with daemon() as client, progress(quiet=quiet) as shown:
        answer = client.post(vm_path(name, "/fork"), {"count": count, "name": new_name})
        vms = decode_list(VmView, follow(client, answer, shown))
    if json_output:
        print_json(vms)
    else:
        for vm in vms:
            print(vm.name)
