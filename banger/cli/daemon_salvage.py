"""`banger daemon salvage`: for when the daemon cannot start because its database is damaged. Needs no daemon."""

import os

import click

from banger.cli.options import as_json
from banger.cli.output import print_json
from banger.model.paths import state_paths


@click.command("salvage")
@as_json
def command(*, json_output: bool) -> None:
    """Rebuild a damaged database from what can be read of it. The damaged file is kept."""
    from banger.store.salvage import salvage

    saved = salvage(state_paths(os.environ).root)
    if json_output:
        print_json(saved)
        return
    for table, rows in saved.rows.items():
        print(f"{table}: {rows} rows")
    for name in saved.lost:
        print(f"{name}: could not be read")
    print(f"the damaged file is {saved.kept}")
    print("try: banger cache verify --repair")
