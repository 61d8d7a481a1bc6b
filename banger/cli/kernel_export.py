"""`banger kernel export`."""

from pathlib import Path

import click

from banger.cli.client import kernel_path
from banger.cli.follow import follow
from banger.cli.kernels import one_kernel
from banger.cli.options import quiet
from banger.cli.progress import progress
from banger.cli.start_daemon import daemon


@click.command("export")
@one_kernel
@click.argument("directory", metavar="DIR", type=click.Path())
@quiet
def command(*, name: str, directory: str, quiet: bool) -> None:
    """Write the kernel NAME into the new directory DIR: vmlinux, modules/ and manifest.json."""
    body = {"directory": str(Path(directory).absolute())}
    with daemon() as client, progress(quiet=quiet) as shown:
        follow(client, client.post(kernel_path(name, "/export"), body), shown)
    print(body["directory"])
