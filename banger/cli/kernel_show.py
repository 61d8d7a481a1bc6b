"""`banger kernel show`."""

import click

from banger.cli.client import kernel_path
from banger.cli.decode import decode
from banger.cli.kernels import one_kernel
from banger.cli.options import as_json
from banger.cli.output import print_json, sanitised, size
from banger.cli.start_daemon import daemon
from banger.model.kernel import KernelView


@click.command("show")
@one_kernel
@as_json
def command(*, name: str, json_output: bool) -> None:
    """Show one kernel."""
    with daemon() as client:
        kernel = decode(KernelView, client.get(kernel_path(name)))
    if json_output:
        print_json(kernel)
        return
    here = "here" if kernel.here else "not here: it is fetched when a VM needs it"
    rows = {
        "name": kernel.name,
        "release": kernel.release,
        "architecture": kernel.architecture,
        "source": kernel.source,
        "state": f"{here}, kept" if kernel.kept else here,
        "size": "not known" if kernel.size_bytes is None else size(kernel.size_bytes),
        "used by": ", ".join(kernel.used_by) or "no VM",
        "about": kernel.description,
    }
    for name_, value in rows.items():
        if value:
            print(f"{name_ + ':':<14}{sanitised(value)}")
