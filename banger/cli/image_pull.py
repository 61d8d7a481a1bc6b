"""`banger image pull`."""

from dataclasses import asdict

import click

from banger.cli.decode import decode
from banger.cli.follow import follow
from banger.cli.options import absolute_source, as_json, quiet
from banger.cli.output import print_json
from banger.cli.progress import progress
from banger.cli.start_daemon import daemon
from banger.model.images import ImageView, PullRequest


@click.command("pull")
@click.argument("source", metavar="IMAGE")
@click.option("--name", metavar="NAME", help="What to call it (default: what follows from IMAGE).")
@click.option(
    "--pull",
    type=click.Choice(["always", "missing", "never"]),
    default="always",
    help="Whether to ask what IMAGE means now (default always).",
)
@click.option("--kernel-ref", metavar="NAME", help="The kernel that its VMs boot with (default: the usual one).")
@quiet
@as_json
def command(
    source: str, *, name: str | None, pull: str, kernel_ref: str | None, quiet: bool, json_output: bool
) -> None:
    """Have an image ready: IMAGE is a reference as docker takes it, oci:DIR, docker-archive:FILE, or a name.

    Layers that are here already are not fetched again. `vm run --image IMAGE` does this by itself.
    """
    request = asdict(PullRequest(absolute_source(source), name, kernel_ref=kernel_ref)) | {"pull": pull}
    with daemon() as client, progress(quiet=quiet) as shown:
        image = decode(ImageView, follow(client, client.post("/v1/images/pull", request), shown))
    if json_output:
        print_json(image)
    else:
        print(image.name)
