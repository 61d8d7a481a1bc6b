"""`banger image promote`."""

import click

from banger.cli.decode import decode
from banger.cli.follow import follow
from banger.cli.options import as_json, quiet
from banger.cli.output import print_json
from banger.cli.progress import progress
from banger.cli.start_daemon import daemon
from banger.model.images import ImageView


@click.command("promote")
@click.argument("image", metavar="NAME")
@quiet
@as_json
def command(image: str, *, quiet: bool, json_output: bool) -> None:
    """Take the files of a registered image into the cache: from then on it does without them."""
    with daemon() as client, progress(quiet=quiet) as shown:
        view = decode(ImageView, follow(client, client.post("/v1/images/promote", {"image": image}), shown))
    if json_output:
        print_json(view)
    else:
        print(view.name)
