"""`banger kernel list`."""

import click

from banger.cli.decode import decode_list
from banger.cli.options import as_json
from banger.cli.output import print_json, print_table, size
from banger.cli.start_daemon import daemon
from banger.model.kernel import KernelView


@click.command("list")
@as_json
def command(*, json_output: bool) -> None:
    """List the kernels that a VM can have: those of the catalog, and those that were imported.

    HERE: yes (a VM starts without the network), kept (and no prune takes it), or no (it is fetched when it is needed).
    """
    with daemon() as client:
        kernels = decode_list(KernelView, client.get("/v1/kernels"))
    if json_output:
        print_json(kernels)
        return
    rows = [
        [
            one.name,
            one.release,
            "kept" if one.here and one.kept else "yes" if one.here else "no",
            "-" if one.size_bytes is None else size(one.size_bytes),
            ", ".join(one.used_by) or "-",
            one.source,
        ]
        for one in kernels
    ]
    print_table(["NAME", "RELEASE", "HERE", "SIZE", "USED BY", "SOURCE"], rows, right=[3])
