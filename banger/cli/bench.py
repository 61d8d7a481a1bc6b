"""`banger bench`: how long the stages of past creates took."""

import click

from banger.cli.decode import decode_list
from banger.cli.options import as_json
from banger.cli.output import print_json, print_table, seconds
from banger.cli.start_daemon import daemon
from banger.model.views import BenchRow


@click.command("stages")
@as_json
def command(*, json_output: bool) -> None:
    """Show stage timings of real creates: cold ones, which had to build something, and warm ones apart."""
    with daemon() as client:
        rows = decode_list(BenchRow, client.get("/v1/bench"))
    if json_output:
        print_json(rows)
        return
    cells = [
        [
            row.stage,
            str(row.runs),
            seconds(row.cold_median_s),
            seconds(row.cold_p90_s),
            seconds(row.warm_median_s),
            seconds(row.warm_p90_s),
        ]
        for row in rows
    ]
    print_table(["STAGE", "RUNS", "COLD", "COLD P90", "WARM", "WARM P90"], cells, right=range(1, 6))
