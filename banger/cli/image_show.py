"""`banger image show`."""

import click

from banger.cli.client import image_path
from banger.cli.decode import decode
from banger.cli.options import absolute_source, as_json
from banger.cli.output import print_json, sanitised, size
from banger.cli.start_daemon import daemon
from banger.model.images import ImageView


@click.command("show")
@click.argument("image", metavar="IMAGE")
@as_json
def command(image: str, *, json_output: bool) -> None:
    """Show one IMAGE by its name, or by where it came from."""
    with daemon() as client:
        view = decode(ImageView, client.get(image_path(absolute_source(image))))
    if json_output:
        print_json(view)
        return
    ssh = "installed here" if view.provisioned else "yes" if view.has_ssh else "no"
    print(f"name:      {view.name}")
    print(f"source:    {sanitised(view.source)}")
    print(f"state:     {view.state}")
    print(f"manifest:  {view.digest or '-'}")
    print(f"layers:    {view.layers}, {size(view.layer_bytes)}")
    print(f"system:    {sanitised(view.system) or '-'}")
    print(f"ssh:       {ssh}")
    print(f"root disk: {_disk(view.root_digest, view.root_bytes)}")
    print(f"work disk: {_disk(view.work_digest, view.work_bytes)}")
    print(f"on disk:   {size(view.disk_bytes)}")
    print(f"used by:   {', '.join(view.vms) or 'no VM'}")


def _disk(digest: str | None, size_bytes: int | None) -> str:
    return "-" if digest is None or size_bytes is None else f"{size(size_bytes)}, {digest}"
