"""`banger kernel rm`."""

import click

from banger.cli.client import kernel_path
from banger.cli.completing import complete_kernels
from banger.cli.decode import decode
from banger.cli.options import as_json
from banger.cli.output import print_json
from banger.cli.start_daemon import daemon
from banger.model.kernel import KernelView


@click.command("rm")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_kernels)
@as_json
def command(names: tuple[str, ...], *, json_output: bool) -> None:
    """Remove kernels. One that a VM uses stays: the VM could not be started again."""
    removed = []
    with daemon() as client:
        for name in names:
            removed.append(decode(KernelView, client.delete(kernel_path(name))))
            if not json_output:
                print(f"removed {removed[-1].name}")
    if json_output:
        print_json(removed)
