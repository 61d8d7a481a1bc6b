"""`banger vm prune`: delete every stopped VM."""

import click

from banger.cli.many import Asked, all_vms, confirmed, each
from banger.cli.options import quiet, yes


@click.command("prune")
@yes
@quiet
def command(*, yes: bool, quiet: bool) -> None:
    """Delete every stopped VM. Asks first, at a terminal. One that is started meanwhile stays."""
    stopped = [vm.name for vm in all_vms() if vm.state == "stopped"]
    if not stopped:
        return
    if not confirmed(f"Delete {', '.join(stopped)}?", yes=yes):
        raise click.Abort
    each(stopped, Asked("DELETE", "?if_stopped=true"), is_quiet=quiet)
