"""`banger template ls`."""

import click

from banger.cli.decode import decode_list
from banger.cli.options import as_json
from banger.cli.output import print_json, print_table, short_digest, size
from banger.cli.start_daemon import daemon
from banger.model.views import TemplateView


@click.command("ls")
@as_json
def command(*, json_output: bool) -> None:
    """List templates: VMs that were booted and frozen, to be restored in a moment. Last used first.

    One that is not CURRENT was made with another kernel, image, QEMU or banger: nothing starts from it any more.
    """
    with daemon() as client:
        templates = decode_list(TemplateView, client.get("/v1/templates"))
    if json_output:
        print_json(templates)
        return
    rows = [
        [
            short_digest(one.digest),
            one.image,
            str(one.vcpus),
            f"{one.memory_mib} MiB",
            size(one.size_bytes),
            "yes" if one.current else "no",
            one.setup,
        ]
        for one in templates
    ]
    print_table(["DIGEST", "IMAGE", "VCPU", "MEMORY", "SIZE", "CURRENT", "SETUP"], rows, right=[2, 3, 4])
