"""`banger vm delete`: remove VMs."""

import click

from banger.cli.many import Asked, confirmed, each, which
from banger.cli.options import every, many_vms, quiet, yes


@click.command("delete")
@many_vms
@every
@yes
@quiet
def command(names: tuple[str, ...], *, every: bool, yes: bool, quiet: bool) -> None:
    """Stop VMs and remove all that is theirs. --all asks first, at a terminal."""
    wanted = which(names, every=every)
    if every and wanted and not confirmed(f"Delete {', '.join(wanted)}?", yes=yes):
        raise click.Abort
    each(wanted, Asked("DELETE"), is_quiet=quiet)
