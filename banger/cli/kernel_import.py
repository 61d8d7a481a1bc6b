"""`banger kernel import`."""

from pathlib import Path

import click

from banger.cli.kernels import take_in
from banger.cli.options import as_json, quiet
from banger.cli.start_daemon import daemon
from banger.model.kernel import check_kernel_name


@click.command("import")
@click.argument("name", metavar="NAME")
@click.argument("image", metavar="KERNEL", type=click.Path())
@click.option(
    "--modules", metavar="DIR", type=click.Path(), help="Its modules: /lib/modules/RELEASE, or a tree with that."
)
@click.option("--initrd", metavar="FILE", type=click.Path(), help="An initrd that has its modules.")
@quiet
@as_json
def command(*, name: str, image: str, modules: str | None, initrd: str | None, quiet: bool, json_output: bool) -> None:
    """Take in a kernel of your own and call it NAME; `vm run --kernel-ref NAME` boots it.

    KERNEL is a bzImage or vmlinux for x86_64. What VMs need (virtio and ext4) is built into it, or comes as modules.
    """
    body = {
        "name": check_kernel_name(name),
        "image": _absolute(image),
        "modules": None if modules is None else _absolute(modules),
        "initrd": None if initrd is None else _absolute(initrd),
    }
    with daemon() as client:
        take_in(client, "/v1/kernels", body, is_quiet=quiet, json_output=json_output)


def _absolute(path: str) -> str:
    return str(Path(path).absolute())
