"""`banger image delete`."""

import click

from banger.cli.client import image_path
from banger.cli.decode import decode
from banger.cli.options import absolute_source
from banger.cli.output import size
from banger.cli.start_daemon import daemon
from banger.model.images import ImageView


@click.command("delete")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
def command(images: tuple[str, ...]) -> None:
    """Forget images by name, and remove what only they need. One that a VM uses stays."""
    with daemon() as client:
        for image in images:
            view = decode(ImageView, client.delete(image_path(absolute_source(image))))
            print(f"deleted {view.name}, which took {size(view.disk_bytes)}")
