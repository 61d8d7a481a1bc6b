"""`banger image register`."""

from dataclasses import asdict
from pathlib import Path

import click

from banger.cli.decode import decode
from banger.cli.options import as_json
from banger.cli.output import print_json
from banger.cli.start_daemon import daemon
from banger.model.images import ImageView, RegisterRequest


@click.command("register")
@click.argument("name", metavar="NAME")
@click.option("--rootfs", required=True, metavar="FILE", help="An ext4 image: the root disk.")
@click.option("--work-seed", "seed", metavar="FILE", help="An ext4 image: what /root begins as (default: empty).")
@click.option("--kernel-ref", metavar="NAME", help="The kernel that its VMs boot with (default: the usual one).")
@as_json
def command(name: str, *, rootfs: str, seed: str | None, kernel_ref: str | None, json_output: bool) -> None:
    """Give a NAME to image files of your own. They stay where they are until `image promote`.

    What VMs get is the file as it is when they are made; a VM that is there does not see later changes.
    """
    request = RegisterRequest(
        name, str(Path(rootfs).absolute()), None if seed is None else str(Path(seed).absolute()), kernel_ref
    )
    with daemon() as client:
        view = decode(ImageView, client.post("/v1/images/register", asdict(request)))
    if json_output:
        print_json(view)
    else:
        print(view.name)
