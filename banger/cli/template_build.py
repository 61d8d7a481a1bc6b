"""`banger template build`."""

from dataclasses import asdict

import click

from banger.cli.decode import decode
from banger.cli.follow import follow
from banger.cli.options import as_json, quiet
from banger.cli.output import print_json, short_digest
from banger.cli.progress import progress
from banger.cli.sizes import host_defaults, resolve
from banger.cli.start_daemon import daemon
from banger.model.views import TemplateView
from banger.model.vm import DEFAULT_IMAGE


@click.command("build")
@click.option("--image", default=DEFAULT_IMAGE, metavar="IMAGE", help=f"Image (default {DEFAULT_IMAGE}).")
@click.option("--vcpu", type=int, metavar="INT", help=f"Virtual CPUs (default {host_defaults().vcpus}).")
@click.option("--memory", metavar="SIZE", help=f"Memory, in MiB or as 2G (default {host_defaults().memory_mib}).")
@quiet
@as_json
def command(*, image: str, vcpu: int | None, memory: str | None, quiet: bool, json_output: bool) -> None:
    """Boot a VM of a shape and freeze it, so that the next ones of that shape need not boot.

    The daemon does this by itself behind the first VM of each shape.
    """
    sizes = resolve(vcpu, memory, None)
    with daemon() as client, progress(quiet=quiet) as shown:
        answer = client.post("/v1/templates", {"image": image, "sizes": asdict(sizes)})
        template = decode(TemplateView, follow(client, answer, shown))
    if json_output:
        print_json(template)
    else:
        print(short_digest(template.digest))
