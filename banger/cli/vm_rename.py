"""`banger vm rename`: give a VM another name."""

import click

from banger.cli.many import Asked, each
from banger.cli.options import as_json, one_vm, quiet
from banger.model.vm import check_vm_name


@click.command("rename")
@one_vm
@click.argument("new", metavar="NEW")
@quiet
@as_json
def command(name: str, new: str, *, quiet: bool, json_output: bool) -> None:
    """Give a VM another name, and its guest that host name, at once if it runs. Its keys and its id stay."""
    each([name], Asked("PATCH", body={"name": check_vm_name(new)}), is_quiet=quiet, json_output=json_output)
