"""`banger kernel pull`."""

import click

from banger.cli.kernels import one_kernel, pull_path, take_in
from banger.cli.options import as_json, quiet
from banger.cli.start_daemon import daemon


@click.command("pull")
@one_kernel
@quiet
@as_json
def command(*, name: str, quiet: bool, json_output: bool) -> None:
    """Fetch the kernel NAME of the catalog, verify it, and keep it.

    Not needed before a VM: a kernel that is not here is fetched when one wants it.
    """
    with daemon() as client:
        take_in(client, pull_path(name), {}, is_quiet=quiet, json_output=json_output)
