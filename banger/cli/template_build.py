"""`banger template build`."""

from dataclasses import asdict

import click

from banger.cli.decode import decode
from banger.cli.follow import follow
from banger.cli.options import as_json, quiet
from banger.cli.output import print_json, short_digest
from banger.cli.progress import progress
from banger.cli.sizes import default_image, default_sizes, resolve
from banger.cli.start_daemon import daemon
from banger.model.views import TemplateView

_DEFAULTS = default_sizes(for_help=True)


@click.command("build")
@click.option("--image", metavar="IMAGE", help=f"Image (default {default_image(for_help=True)}).")
@click.option("--vcpu", type=int, metavar="INT", help=f"Virtual CPUs (default {_DEFAULTS.vcpus}).")
@click.option("--memory", metavar="SIZE", help=f"Memory, in MiB or as 2G (default {_DEFAULTS.memory_mib}).")
@quiet
@as_json
def command(*, image: str | None, vcpu: int | None, memory: str | None, quiet: bool, json_output: bool) -> None:
    """Boot a VM of a shape and freeze it, so that the next ones of that shape need not boot.

    The daemon does this by itself behind the first VM of each shape.
    """
    sizes = resolve(vcpu, memory, None)
    with daemon() as client, progress(quiet=quiet) as shown:
        answer = client.post("/v1/templates", {"image": image or default_image(), "sizes": asdict(sizes)})
        template = decode(TemplateView, follow(client, answer, shown))
    if json_output:
        print_json(template)
    else:
        print(short_digest(template.digest))
