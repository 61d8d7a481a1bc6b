"""`banger vm delete`: remove VMs."""

import click

from banger.cli.many import each
from banger.cli.options import many_vms, quiet


@click.command("delete")
@many_vms
@quiet
def command(names: tuple[str, ...], *, quiet: bool) -> None:
    """Stop VMs and remove all that is theirs."""
    each(names, "DELETE", "", is_quiet=quiet)
