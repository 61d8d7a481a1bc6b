"""`banger runs ls`."""

from datetime import UTC, datetime
from urllib.parse import urlencode

import click

from banger.cli.decode import decode_list
from banger.cli.options import as_json
from banger.cli.output import print_json, print_table, seconds
from banger.cli.start_daemon import daemon
from banger.model.history import RunRow


@click.command("ls")
@click.option("-n", "--limit", default=20, type=click.IntRange(1, 200), metavar="N", help="How many (default 20).")
@click.option("--what", metavar="SORT", help="Only runs of one sort, as vm.create.")
@as_json
def command(limit: int, what: str | None, *, json_output: bool) -> None:
    """List runs, the newest first. Any of them can be given to `runs show`, `trace`, `why` and `bench --baseline`."""
    asked = {"limit": limit} | ({"what": what} if what else {})
    with daemon() as client:
        rows = decode_list(RunRow, client.get(f"/v1/runs?{urlencode(asked)}"))
    if json_output:
        print_json(rows)
        return
    if not rows:
        print("no run of that sort is on record" if what else "nothing has been run here yet: banger vm run")
        return
    cells = [
        [
            row.id[:12],
            row.what,
            when(row.started_at),
            row.outcome or "under way",
            row.mode,
            str(row.cached),
            str(row.ran),
            seconds(row.seconds),
        ]
        for row in rows
    ]
    print_table(["RUN", "WHAT", "STARTED", "OUTCOME", "MODE", "CACHED", "RAN", "TIME"], cells, right=range(5, 8))


def when(at: float) -> str:
    """Write a point in time."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
