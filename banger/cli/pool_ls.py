"""`banger pool ls`."""

import click

from banger.cli.decode import decode_list
from banger.cli.options import as_json
from banger.cli.output import print_json, print_table
from banger.cli.start_daemon import daemon
from banger.model.views import PoolView


def show(pools: list[PoolView], *, as_json: bool) -> None:
    """Print pools."""
    if as_json:
        print_json(pools)
    elif pools:
        rows = [[one.image, one.sizes.describe(), str(one.ready), str(one.count)] for one in pools]
        print_table(["IMAGE", "SIZES", "READY", "WANTED"], rows, right=[2, 3])


@click.command("ls")
@as_json
def command(*, json_output: bool) -> None:
    """List pools: how many VMs of a shape are ready, and how many are wanted."""
    with daemon() as client:
        show(decode_list(PoolView, client.get("/v1/pools")), as_json=json_output)
