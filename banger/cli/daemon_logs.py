"""`banger daemon logs`: what the daemon wrote about itself, whether it runs or not."""

import os
from pathlib import Path

import click

from banger.cli.tail import show_file
from banger.model.errors import NotFoundError
from banger.model.paths import state_paths


@click.command("logs")
@click.option("-f", "--follow", is_flag=True, help="Go on as the log goes on.")
@click.option("-n", "--lines", type=click.IntRange(min=0), help="Only the last lines (default: all).")
def command(*, follow: bool, lines: int | None) -> None:
    """Show the daemon's log. It needs no daemon, and starts none."""
    log = state_paths(os.environ).daemon_log
    try:
        show_file(Path(log), lines, follow=follow)
    except FileNotFoundError:
        raise NotFoundError(f"{log}: no daemon has written anything yet", hint="banger daemon status") from None
