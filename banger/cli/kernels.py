"""What the `kernel` commands share."""

import click

from banger.cli.client import Client, kernel_path
from banger.cli.completing import complete_kernels
from banger.cli.decode import decode
from banger.cli.follow import follow
from banger.cli.output import print_json
from banger.cli.progress import progress
from banger.model.kernel import KernelView

one_kernel = click.argument("name", metavar="NAME", shell_complete=complete_kernels)


def take_in(client: Client, path: str, body: object, *, is_quiet: bool, json_output: bool) -> None:
    """Have the daemon take a kernel in, and say which it is."""
    with progress(quiet=is_quiet) as shown:
        kernel = decode(KernelView, follow(client, client.post(path, body), shown))
    if json_output:
        print_json(kernel)
    else:
        print(f"{kernel.name}: Linux {kernel.release}")


def pull_path(name: str) -> str:
    """Where a kernel is pulled."""
    return kernel_path(name, "/pull")
