"""`banger vm logs`: a VM's console, made harmless for the terminal that shows it."""

from pathlib import Path

import click

from banger.cli.client import vm_path
from banger.cli.decode import decode
from banger.cli.options import one_vm
from banger.cli.start_daemon import daemon
from banger.cli.tail import show_file
from banger.model.errors import NotFoundError
from banger.model.vm import VmView


@click.command("logs")
@one_vm
@click.option("-f", "--follow", is_flag=True, help="Go on as the console goes on.")
@click.option("-n", "--lines", type=click.IntRange(min=0), help="Only the last lines (default: all).")
def command(name: str, *, follow: bool, lines: int | None) -> None:
    """Show a VM's console. On a terminal, control characters of the guest are taken out."""
    with daemon() as client:
        vm = decode(VmView, client.get(vm_path(name)))
    if vm.console_log is None:
        raise NotFoundError(f"VM {vm.name!r} has no console log")
    try:
        show_file(Path(vm.console_log), lines, follow=follow)
    except FileNotFoundError as error:
        raise NotFoundError(f"VM {vm.name!r} has not written to its console yet") from error
