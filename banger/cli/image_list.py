"""`banger image list`."""

import time

import click

from banger.cli.amounts import age
from banger.cli.decode import decode_list
from banger.cli.options import as_json
from banger.cli.output import print_json, print_table, sanitised, size
from banger.cli.start_daemon import daemon
from banger.model.images import ImageView


@click.command("list")
@as_json
def command(*, json_output: bool) -> None:
    """List images: what `vm run --image NAME` can be told without anything being fetched."""
    with daemon() as client:
        images = decode_list(ImageView, client.get("/v1/images"))
    if json_output:
        print_json(images)
        return
    now = time.time()  # noqa: TID251 - to show an age; nothing is decided by it
    print_table(
        ["NAME", "STATE", "ON DISK", "ADDED", "VMS", "SOURCE"],
        [
            [
                one.name,
                one.state,
                size(one.disk_bytes) if one.disk_bytes else "-",
                "-" if one.added_at is None else f"{age(now - one.added_at)} ago",
                str(len(one.vms)),
                sanitised(one.source),
            ]
            for one in images
        ],
        right=[2, 4],
    )
