"""`banger kernel rm`."""

import click

from banger.cli.client import kernel_path
from banger.cli.completing import complete_kernels
from banger.cli.decode import decode
from banger.cli.start_daemon import daemon
from banger.model.kernel import KernelView


@click.command("rm")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_kernels)
def command(names: tuple[str, ...]) -> None:
    """Remove kernels. One that a VM uses stays: the VM could not be started again."""
    with daemon() as client:
        for name in names:
            removed = decode(KernelView, client.delete(kernel_path(name)))
            print(f"removed {removed.name}")
